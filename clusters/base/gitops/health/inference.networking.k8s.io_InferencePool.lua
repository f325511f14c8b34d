-- Does every gateway that is to use an InferencePool accept it? Each one reports as a parent of its own.

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

local WAYS_OUT = {
  Accepted = "look at the HTTPRoute that refers to the pool, and at what its Gateway supports",
  ResolvedRefs = "check the Service that `endpointPickerRef` names",
}

-- Old schemas fill in a parent of kind Status, which no gateway has written.
local function gateways()
  local found = {}
  for _, parent in ipairs(list_at(obj, "status", "parents")) do
    if type(parent) == "table" and at(parent, "parentRef", "kind") ~= "Status" then
      found[#found + 1] = parent
    end
  end
  return found
end

-- A gateway that no longer uses the pool may leave its entry behind for good: it counts only while no other is newer.
local function newest_of(parents)
  local conditions = {}
  for _, parent in ipairs(parents) do
    for _, condition in ipairs(list_at(parent, "conditions")) do
      conditions[#conditions + 1] = condition
    end
  end
  return newest_generation(conditions)
end

local function is_left_behind(parent, newest)
  local seen = newest_generation(list_at(parent, "conditions"))
  return seen ~= nil and newest ~= nil and seen < newest
end

local function judge(parent)
  local name = text_at(parent, "parentRef", "name") or "a gateway"
  for _, wanted in ipairs({ "Accepted", "ResolvedRefs" }) do
    local condition = find(list_at(parent, "conditions"), wanted)
    if is_false(condition) then
      local message = explain(condition, wanted .. " is False")
      return verdict("Degraded", name .. ": " .. message .. "; way out: " .. WAYS_OUT[wanted])
    end
    if not is_true(condition) then
      return verdict("Progressing", name .. ": " .. explain(condition, "has not reported " .. wanted .. " yet"))
    end
  end
  return nil
end

local function worst(parents, newest)
  local waiting = nil
  for _, parent in ipairs(parents) do
    local problem = not is_left_behind(parent, newest) and judge(parent) or nil
    if problem and problem.status == "Degraded" then
      return problem
    end
    waiting = waiting or problem
  end
  return waiting
end

local deleting = deletion(nil)
if deleting then
  return deleting
end
local parents = gateways()
-- Only a route gives a pool its parents, and the route comes in a later wave: waiting here would wait for ever.
if parents[1] == nil then
  return verdict("Healthy", "no HTTPRoute refers to the pool yet")
end
local newest = newest_of(parents)
if is_stale(newest) then
  return verdict("Progressing", "no gateway has seen the newest generation yet")
end
return worst(parents, newest) or verdict("Healthy", "accepted by its gateways")
