import { InvalidMaterialError } from '../errors/index.js'

/**
 * Decodes base64url without padding, in its one canonical spelling (RFC 7515 §2). `Buffer.from` skips what it does not
 * know and takes both alphabets; this refuses both.
 * @throws InvalidMaterialError with code `ERR_BASE64_MALFORMED`.
 */
export function base64urlDecode(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw fault('base64url')
  return bytes
}

/** Decodes standard base64 with its padding, in its one canonical spelling (RFC 4648 §4). */
export function base64Decode(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw fault('base64')
  return bytes
}

export function base64urlEncode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
}

export function base64Encode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}

function fault(alphabet: string): InvalidMaterialError {
  return new InvalidMaterialError('ERR_BASE64_MALFORMED', `expected ${alphabet} in its canonical spelling`)
}
