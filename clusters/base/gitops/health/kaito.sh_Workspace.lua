-- Is a KAITO Workspace serving, or has its tuning job finished? `status.state` decides, and its conditions explain.

-- shared block: reading
-- A field that is absent, null or of another type than its CRD says reads as nil. A script that raises an error
-- leaves its object without a health, and a sync that waits for that object then never ends.
local function at(value, ...)
  for _, key in ipairs({ ... }) do
    if type(value) ~= "table" then
      return nil
    end
    value = value[key]
  end
  return value
end

local function list_at(...)
  local value = at(...)
  return type(value) == "table" and value or {}
end

local function text_at(...)
  local value = at(...)
  return type(value) == "string" and value ~= "" and value or nil
end

local function number_at(...)
  local value = at(...)
  return type(value) == "number" and value or nil
end

local function verdict(status, message)
  return { status = status, message = message }
end
-- end of shared block

-- shared block: conditions
local function find(conditions, wanted)
  for _, condition in ipairs(conditions) do
    if at(condition, "type") == wanted then
      return condition
    end
  end
  return nil
end

local function is_true(condition)
  return at(condition, "status") == "True"
end

local function is_false(condition)
  return at(condition, "status") == "False"
end

local function explain(condition, otherwise)
  return text_at(condition, "message") or text_at(condition, "reason") or otherwise
end

-- The newest generation that any condition speaks of. One condition of today is enough to know that the controller
-- has seen the object: a leftover that is never written again must not hold a sync for good.
local function newest_generation(conditions)
  local newest = nil
  for _, condition in ipairs(conditions) do
    local seen = number_at(condition, "observedGeneration")
    if seen and (newest == nil or seen > newest) then
      newest = seen
    end
  end
  return newest
end

local function is_stale(seen)
  local generation = number_at(obj, "metadata", "generation")
  return seen ~= nil and generation ~= nil and seen < generation
end

local function deletion(condition)
  if at(obj, "metadata", "deletionTimestamp") ~= nil or is_true(condition) then
    return verdict("Progressing", "deleting: " .. explain(condition, "its finalizers have not finished yet"))
  end
  return nil
end
-- end of shared block

-- shared block: node failures
-- What waiting cannot heal on the way to a node, by condition reason, and what a person can do about it. A reason
-- that is not here counts as still under way: capacity, throttling, a conflict, a node that is booting.
local QUOTA = "ask Azure for more quota of this VM family, or choose another VM size"
local VM_SIZE = "choose a VM size that this region and subscription offer"
local ZONE = "choose a zone that offers this VM size, or none"
local POLICY = "ask the owner of the Azure policy, or change what it refuses"
local ROLE = "give the provisioner's identity the missing role"
local SUBNET = "enlarge the node subnet or choose another"
local NODE = "look at the node pool's events in Azure, then delete the NodeClaim to try again"

local NODE_REASONS = {
  QuotaExceeded = QUOTA,
  InsufficientVCPUQuota = QUOTA,
  ErrCode_InsufficientVCPUQuota = QUOTA,
  ManagedClusterCountExceedsQuotaLimit = QUOTA,
  SkuNotAvailable = VM_SIZE,
  VMSizeNotSupported = VM_SIZE,
  NotAvailableForSubscription = VM_SIZE,
  AksCapacityHeavyUsage = "choose another region, or ask Azure to admit this cluster",
  AvailabilityZoneNotSupported = ZONE,
  PolicyDenied = POLICY,
  RequestDisallowedByPolicy = POLICY,
  AuthorizationFailed = ROLE,
  SubnetFull = SUBNET,
  InsufficientSubnetSize = SUBNET,
  NodePoolLimitReached = "retire a model on this cluster, or raise the limit of node pools",
  NameConflict = "delete or rename the node pool of that name, which is not ours",
  InvalidRequest = "correct the field that the message names",
  LaunchTimedOut = NODE,
  RegistrationTimedOut = NODE,
  InitializationTimedOut = NODE,
  BootstrapFailed = NODE,
}

-- Reasons that say nothing: the cause, if any, is in the text. Azure's own words, in lower case.
local UNTYPED_REASONS = {
  LaunchFailed = true,
  NodeClaimNotReady = true,
  workspaceFailed = true,
  ragengineFailed = true,
  ragengineResourceStatusFailed = true,
}
local NODE_TEXTS = {
  { "family cores quota", QUOTA },
  { "total regional cores quota", QUOTA },
  { "lowprioritycores", QUOTA },
  { "insufficientvcpuquota", QUOTA },
  { "quotaexceeded", QUOTA },
  { "request for quota increase", QUOTA },
  { "skunotavailable", VM_SIZE },
  { "vmsizenotsupported", VM_SIZE },
  { "is not supported for subscription", VM_SIZE },
  { "notavailableforsubscription", VM_SIZE },
  { "availabilityzonenotsupported", ZONE },
  { "requestdisallowedbypolicy", POLICY },
  { "authorizationfailed", ROLE },
  { "insufficientsubnetsize", SUBNET },
}

local function way_out_by_text(message, texts)
  -- Argo CD gives a script no string library unless `resource.customizations.useOpenLibs.<group>_<kind>` says so.
  if message == nil or string == nil then
    return nil
  end
  local lower = string.lower(message)
  for _, rule in ipairs(texts) do
    if string.find(lower, rule[1], 1, true) then
      return rule[2]
    end
  end
  return nil
end

local function node_way_out(condition)
  local reason = text_at(condition, "reason") or ""
  if UNTYPED_REASONS[reason] then
    return way_out_by_text(text_at(condition, "message"), NODE_TEXTS)
  end
  return NODE_REASONS[reason]
end

local function failure(condition, way_out)
  local reason = text_at(condition, "reason") or "no reason given"
  return verdict("Degraded", reason .. ": " .. explain(condition, "no message") .. "; way out: " .. way_out)
end
-- end of shared block

-- shared block: mirror failures
-- What waiting cannot heal while the weights are mirrored, and what a person can do about it.
local MIRROR_REASONS = {
  InvalidSpec = "give a managed mirror `spec.source` and `spec.storage`",
  PVCCreateFailed = "check the storage class and the namespace's quota",
  JobCreateFailed = "check the namespace's quota and admission policies",
  DownloadFailed = "check the model's name, its licence and the access token, then the log of the download Job",
  DownloadOOMKilled = "raise the memory limit of KAITO's download Job",
}
-- end of shared block

local LOG = "read the log of the Workspace's pod"
local STREAMING = "correct the model-streaming annotations, storage class or service account that the message names"

-- What waiting cannot heal once there is a node.
local POD_REASONS = {
  ImagePullError = "check the image's name and digest, and its pull secret",
  ContainerCrashLoopBackOff = LOG,
  ContainerOOMKilled = "shorten the context, lower the concurrency or choose a larger VM size",
  ContainerStartError = "check the Secrets, ConfigMaps and volumes that the pod names",
  NodeDiskPressure = "choose a VM size with a larger disk",
  NodeMemoryPressure = "choose a VM size with more memory",
  SASTokenFetchFailed = "check the identity that reads the weights, and the log of the init container `fetch-sas`",
  ModelBundleMismatch = "make the streamed weights match the model of the Workspace",
  ModelStreamingStorageClassNotFound = STREAMING,
  ModelStreamingInvalidStorageClass = STREAMING,
  ModelStreamingServiceAccountInvalid = STREAMING,
  ModelStreamingInvalidAnnotations = STREAMING,
  ModelMirrorCreateFailed = "look at the ModelMirror of the same model: it belongs to another specification",
  BenchmarkFailed = LOG .. ", or switch the benchmark off by the annotation `kaito.sh/disable-benchmark`",
  WorkspaceTuningJobStatusFailed = "read the log of the tuning Job's pod",
}

-- The way to a running model, in order: the first step that is not done is the one to show.
local STEPS = {
  { "NodeClaimReady", "waiting for a node" },
  { "NodesReady", "waiting for the node to be usable" },
  { "ModelMirrorReady", "waiting for the weights" },
  { "ResourceReady", "waiting for the resources" },
  { "InferenceReady", "waiting for the model server" },
  { "JobStarted", "waiting for the tuning job" },
  { "BenchmarkCompleted", "waiting for the benchmark" },
  { "WorkspaceSucceeded", "under way" },
}

local conditions = list_at(obj, "status", "conditions")
local state = text_at(obj, "status", "state")
local stale = is_stale(newest_generation(conditions))

-- A condition that the newest pass has not written again speaks of another revision.
local function open_step(name)
  local condition = find(conditions, name)
  if condition == nil or is_true(condition) or is_stale(number_at(condition, "observedGeneration")) then
    return nil
  end
  return condition
end

local function is_done()
  if state ~= nil then
    return state == "Ready" or state == "Succeeded"
  end
  return is_true(find(conditions, "WorkspaceSucceeded"))
end

local function permanent_failure()
  for _, step in ipairs(STEPS) do
    local condition = open_step(step[1])
    local reason = text_at(condition, "reason") or ""
    local way_out = node_way_out(condition) or MIRROR_REASONS[reason] or POD_REASONS[reason]
    if way_out then
      return failure(condition, way_out)
    end
  end
  return nil
end

-- Releases without `state` write `workspaceFailed` on every error, that of a node still on its way included.
local function has_failed()
  if state == "NotReady" or state == "Failed" then
    return true
  end
  local is_marked = at(find(conditions, "WorkspaceSucceeded"), "reason") == "workspaceFailed"
  return is_marked and (state ~= nil or is_true(find(conditions, "ResourceReady")))
end

local function open_step_message()
  for _, step in ipairs(STEPS) do
    local condition = open_step(step[1])
    if condition then
      return step[2] .. ": " .. explain(condition, "no message yet")
    end
  end
  return "under way: KAITO gives no reason"
end

local deleting = deletion(find(conditions, "WorkspaceDeleting"))
if deleting then
  return deleting
end
if state == nil and conditions[1] == nil then
  return verdict("Progressing", "KAITO has not reported on the Workspace yet")
end
-- KAITO writes `state` together with every condition on each pass, so an older generation means that no pass has been
-- made. Releases without `state` rewrite a condition only when it changes: their True at an older generation may be
-- all there will ever be, and waiting for more would hold the sync for good.
if stale and (state ~= nil or not is_done()) then
  return verdict("Progressing", "KAITO has not seen the newest generation yet")
end
if is_done() then
  return verdict("Healthy", state == "Succeeded" and "the tuning job has succeeded" or "the model is being served")
end
local failed = permanent_failure()
if failed then
  return failed
end
if has_failed() then
  return verdict("Degraded", (state or "workspaceFailed") .. ": " .. open_step_message())
end
return verdict("Progressing", open_step_message())
