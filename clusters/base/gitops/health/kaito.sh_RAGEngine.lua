-- Does a KAITO RAGEngine answer? `RAGEngineSucceeded` decides; the other conditions say where it is stuck.

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

local conditions = list_at(obj, "status", "conditions")
local succeeded = find(conditions, "RAGEngineSucceeded")
local resource = find(conditions, "ResourceReady")
local node_claim = find(conditions, "NodeClaimReady")

-- On this text KAITO stops reconciling a RAGEngine, so capacity that comes back later is never used.
local GAVE_UP = {
  {
    "all requested instance types were unavailable during launch",
    "choose another VM size, or delete the RAGEngine so that it is created again",
  },
}

local function permanent_node_failure()
  for _, condition in ipairs({ node_claim or {}, resource or {}, succeeded or {} }) do
    local way_out = node_way_out(condition) or way_out_by_text(text_at(condition, "message"), GAVE_UP)
    if way_out and not is_true(condition) then
      return failure(condition, way_out)
    end
  end
  return nil
end

-- A failure is written to `RAGEngineServiceReady` and a success to `ServiceReady`: the failure stays behind for good.
local function service_failure()
  local condition = find(conditions, "RAGEngineServiceReady")
  if is_false(condition) and not is_true(find(conditions, "ServiceReady")) then
    return failure(condition, "read the log of the RAG engine's pod")
  end
  return nil
end

local deleting = deletion(find(conditions, "RAGEngineDeleting"))
if deleting then
  return deleting
end
if conditions[1] == nil then
  return verdict("Progressing", "KAITO has not reported on the RAGEngine yet")
end
-- KAITO rewrites a condition of a RAGEngine only when it changes. After an edit that ends as it began, True stays at
-- the older generation: waiting for a newer one would hold the sync for good.
if is_true(succeeded) then
  return verdict("Healthy", "the RAG engine is being served")
end
if is_stale(newest_generation(conditions)) then
  return verdict("Progressing", "KAITO has not seen the newest generation yet")
end
if not is_true(resource) then
  return permanent_node_failure()
    or verdict("Progressing", "waiting for a node: " .. explain(resource or node_claim or succeeded, "no message yet"))
end
return service_failure() or verdict("Progressing", "waiting for the service: " .. explain(succeeded, "no message yet"))
