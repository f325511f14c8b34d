-- Has a child Application applied what its parent asks for, and is the result healthy? Argo CD itself has no such check
-- since 1.8, and without one the waves of an app of apps wait for nothing.

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

-- The generation of an Application grows with each of its status writes, so staleness is read from the source that
-- the last comparison, and the last sync, worked on.
local function is_same_source(left, right)
  for _, field in ipairs({ "repoURL", "path", "chart", "targetRevision" }) do
    if (text_at(left, field) or "") ~= (text_at(right, field) or "") then
      return false
    end
  end
  return true
end

local function is_compared()
  local compared = at(obj, "status", "sync", "comparedTo")
  local sources, seen = list_at(obj, "spec", "sources"), list_at(compared, "sources")
  for index, source in ipairs(sources) do
    if not is_same_source(source, seen[index]) then
      return false
    end
  end
  if sources[1] == nil and text_at(compared, "source", "repoURL") and at(obj, "spec", "source") ~= nil then
    return is_same_source(at(obj, "spec", "source"), at(compared, "source"))
  end
  return true
end

local function is_automated()
  local automated = at(obj, "spec", "syncPolicy", "automated")
  return type(automated) == "table" and automated.enabled ~= false
end

-- Argo CD tries each revision once by itself; an operation that names none failed before it had one.
local function is_attempted()
  if text_at(obj, "status", "operationState", "phase") == nil then
    return false
  end
  local result = at(obj, "status", "operationState", "syncResult")
  local wanted, tried = list_at(obj, "status", "sync", "revisions"), list_at(result, "revisions")
  for index, revision in ipairs(wanted) do
    if tried[1] ~= nil and tried[index] ~= revision then
      return false
    end
  end
  local revision = text_at(result, "revision")
  return revision == nil or wanted[1] ~= nil or revision == at(obj, "status", "sync", "revision")
end

local ERRORS = { InvalidSpecError = true, ComparisonError = true, SyncError = true, UnknownError = true }

local function error_condition()
  for _, condition in ipairs(list_at(obj, "status", "conditions")) do
    local name = text_at(condition, "type") or ""
    if ERRORS[name] then
      return verdict("Degraded", name .. ": " .. (text_at(condition, "message") or "no message"))
    end
  end
  return nil
end

local function unfinished_sync()
  local phase = text_at(obj, "status", "operationState", "phase")
  local message = text_at(obj, "status", "operationState", "message") or "no message"
  if at(obj, "operation") ~= nil or phase == "Running" or phase == "Terminating" then
    return verdict("Progressing", "syncing: " .. message)
  end
  if at(obj, "status", "sync", "status") == "Synced" then
    return nil
  end
  if is_automated() and not is_attempted() then
    return verdict("Progressing", "a newer revision waits to be synced")
  end
  if phase == "Failed" or phase == "Error" then
    return verdict("Degraded", "the sync has failed: " .. message)
  end
  return nil
end

if at(obj, "metadata", "deletionTimestamp") ~= nil then
  return verdict("Progressing", "deleting: its finalizers have not finished yet")
end
if at(obj, "status", "sync", "status") == nil then
  return error_condition() or verdict("Progressing", "Argo CD has not looked at the Application yet")
end
local failed = error_condition()
if failed then
  return failed
end
if not is_compared() then
  return verdict("Progressing", "Argo CD has not compared the newest source yet")
end
local unfinished = unfinished_sync()
if unfinished then
  return unfinished
end
local health = text_at(obj, "status", "health", "status") or "no health yet"
if health == "Healthy" or health == "Degraded" or health == "Suspended" then
  return verdict(health, text_at(obj, "status", "health", "message"))
end
return verdict("Progressing", "its objects: " .. health)
