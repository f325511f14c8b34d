-- Are the weights of a KAITO ModelMirror in place? `status.phase` decides; `failureMessage` tells why they are not.

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

-- KAITO starts the next download by itself, on whatever node has room.
local HEALS = { DownloadEvicted = true }

local conditions = list_at(obj, "status", "conditions")
local ready = find(conditions, "Ready")
local storage = find(conditions, "StorageReady")
local failure_message = text_at(obj, "status", "failureMessage")

local function failure_of(condition)
  local reason = text_at(condition, "reason")
  if reason == nil or is_true(condition) or MIRROR_REASONS[reason] == nil then
    return nil
  end
  local message = failure_message or explain(condition, "no message")
  return verdict("Degraded", reason .. ": " .. message .. "; way out: " .. MIRROR_REASONS[reason])
end

local function waiting_for()
  if is_false(storage) then
    return "waiting for the storage: " .. explain(storage, "no message yet")
  end
  local seconds = number_at(obj, "status", "download", "remainingSeconds")
  if seconds and seconds >= 0 then
    return "downloading the weights, about " .. tostring(seconds) .. " s left"
  end
  return "downloading the weights: " .. explain(ready, "no message yet")
end

local deleting = deletion(nil)
if deleting then
  return deleting
end
if conditions[1] == nil and at(obj, "status", "phase") == nil then
  return verdict("Progressing", "KAITO has not reported on the ModelMirror yet")
end
if is_stale(newest_generation(conditions)) then
  return verdict("Progressing", "KAITO has not seen the newest generation yet")
end
if at(obj, "status", "phase") == "Ready" then
  return verdict("Healthy", "the weights are in place")
end
local failed = failure_of(ready) or failure_of(storage)
if failed then
  return failed
end
if failure_message and not HEALS[text_at(ready, "reason") or ""] then
  return verdict("Degraded", failure_message)
end
return verdict("Progressing", waiting_for())
