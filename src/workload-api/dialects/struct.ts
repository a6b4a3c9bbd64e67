import type { Struct, Value } from '../wire/generated/workload.js'

/** A `google.protobuf.Struct` as a plain object without a prototype, so that no claim name is special. */
export function plainObject({ fields }: Struct): Record<string, unknown> {
  const object = Object.create(null) as Record<string, unknown>
  for (const [name, value] of fields) object[name] = plainValue(value)
  return object
}

function plainValue(value: Value): unknown {
  if (value.structValue) return plainObject(value.structValue)
  if (value.listValue) return value.listValue.values.map(plainValue)
  return value.stringValue ?? value.numberValue ?? value.boolValue ?? null
}
