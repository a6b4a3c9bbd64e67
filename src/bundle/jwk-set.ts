import { parseStrictJson, type JsonValue } from '../encoding/index.js'
import { InvalidMaterialError } from '../errors/index.js'
import type { TrustDomain } from '../spiffe-id/index.js'

/** The top level of a JWK Set: its other members, and its keys, of whatever they are. */
export function readKeys(
  trustDomain: TrustDomain,
  document: Uint8Array | string | JsonValue,
): { members: ReadonlyMap<string, JsonValue>; keys: readonly JsonValue[] } {
  let value: JsonValue
  try {
    value = typeof document === 'string' || document instanceof Uint8Array ? parseStrictJson(document) : document
  } catch (cause) {
    const reason = cause instanceof SyntaxError ? cause.message : 'unreadable'
    throw bundleFault(`the bundle of ${trustDomain.name} is not JSON: ${reason}`, { cause })
  }
  if (!(value instanceof Map)) throw bundleFault(`the bundle of ${trustDomain.name} is not a JSON object`)
  const members = value as ReadonlyMap<string, JsonValue>
  const keys = members.get('keys')
  if (!Array.isArray(keys)) throw bundleFault(`the bundle of ${trustDomain.name} has no array 'keys'`)
  return { members, keys: keys as readonly JsonValue[] }
}

export function bundleFault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_BUNDLE_MALFORMED', message, options)
}
