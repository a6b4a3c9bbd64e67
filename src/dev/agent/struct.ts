/**
 * A JSON object as `google.protobuf.Struct`, in the form that proto-loader encodes.
 * @see https://protobuf.dev/reference/protobuf/google.protobuf/#struct
 */
export function toStruct(object: Readonly<Record<string, unknown>>): object {
  return { fields: Object.fromEntries(Object.entries(object).map(([name, value]) => [name, toValue(value)])) }
}

function toValue(value: unknown): object {
  if (typeof value === 'string') return { stringValue: value }
  if (typeof value === 'number') return { numberValue: value }
  if (typeof value === 'boolean') return { boolValue: value }
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } }
  if (typeof value === 'object' && value !== null) return { structValue: toStruct(value as Record<string, unknown>) }
  return { nullValue: 'NULL_VALUE' }
}
