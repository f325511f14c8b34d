-- Are as many replicas of a KAITO InferenceSet ready as are wanted? Why one is not, only its own Workspace says.

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

local conditions = list_at(obj, "status", "conditions")
local ready = find(conditions, "InferenceSetReady")
local benchmark = find(conditions, "BenchmarkCompleted")
local wanted = number_at(obj, "spec", "replicas") or 1
local counted = number_at(obj, "status", "replicas") or 0
local ready_count = number_at(obj, "status", "readyReplicas") or 0
local progress = tostring(ready_count) .. " of " .. tostring(wanted) .. " replicas are ready"

-- `BenchmarkPending` is no failure, and stays for ever where no benchmark is run.
local WAYS_OUT = {
  inferencesetFailed = "look at the OCIRepository and the HelmRelease of its InferencePool",
  BenchmarkFailed = "read the logs of its Workspaces' pods",
}

local function failure_of(condition)
  local reason = text_at(condition, "reason") or ""
  if not is_false(condition) or WAYS_OUT[reason] == nil then
    return nil
  end
  return verdict("Degraded", reason .. ": " .. explain(condition, progress) .. "; way out: " .. WAYS_OUT[reason])
end

local deleting = deletion(find(conditions, "InferenceSetDeleting"))
if deleting then
  return deleting
end
if ready == nil then
  return verdict("Progressing", "KAITO has not reported on the InferenceSet yet")
end
if counted ~= wanted then
  return verdict("Progressing", "KAITO has not seen the wanted number of replicas yet; " .. progress)
end
-- KAITO rewrites a condition of an InferenceSet only when it changes, so True at an older generation counts once the
-- replicas, which are written on every pass, agree: waiting for a newer one would hold the sync for good. The same
-- goes for none wanted: Argo CD would wait for Suspended as long as for Progressing.
if is_true(ready) and ready_count >= wanted then
  return verdict("Healthy", wanted == 0 and "scaled to zero" or progress)
end
if is_stale(newest_generation(conditions)) then
  return verdict("Progressing", "KAITO has not seen the newest generation yet; " .. progress)
end
return failure_of(ready) or failure_of(benchmark) or verdict("Progressing", progress)
