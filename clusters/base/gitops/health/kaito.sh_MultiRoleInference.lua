-- Do prefill, decode and the pool of a KAITO MultiRoleInference all run? `Ready` sums them up.

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
local ready = find(conditions, "Ready")

local function missing_part()
  for _, name in ipairs({ "PrefillReady", "DecodeReady", "InferencePoolReady" }) do
    local condition = find(conditions, name)
    if condition and not is_true(condition) then
      return explain(condition, name)
    end
  end
  return explain(ready, "no message yet")
end

local deleting = deletion(find(conditions, "Deleting"))
if deleting then
  return deleting
end
if ready == nil then
  return verdict("Progressing", "KAITO has not reported on the MultiRoleInference yet")
end
-- Where a pass fails, KAITO leaves `status.observedGeneration` behind; the conditions carry the newest one always.
if is_stale(newest_generation(conditions)) then
  return verdict("Progressing", "KAITO has not seen the newest generation yet")
end
if is_true(ready) then
  return verdict("Healthy", explain(ready, "prefill, decode and the pool are ready"))
end
if at(ready, "reason") == "ReconcileFailed" then
  local message = explain(ready, "no message")
  return verdict("Degraded", "ReconcileFailed: " .. message .. "; way out: correct what the message names")
end
return verdict("Progressing", "waiting: " .. missing_part())
