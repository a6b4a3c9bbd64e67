import { InvalidMaterialError } from '../errors/index.js'
import { base64Decode } from './base64.js'

/** One block of a PEM text. */
export interface PemBlock {
  /** What stands after BEGIN: `CERTIFICATE`, `PRIVATE KEY` … */
  readonly label: string
  readonly der: Uint8Array
}

const maxChars = 32 * 1024 * 1024
const maxBlocks = 4096

/**
 * Every block of a PEM text in order; text between blocks is skipped (RFC 7468 §2).
 * @throws InvalidMaterialError with code `ERR_PEM_MALFORMED` when a block is broken or encrypted in the old PEM way.
 */
export function pemDecode(text: string): PemBlock[] {
  if (text.length > maxChars) throw fault(`the text has ${text.length} characters, more than ${maxChars}`)
  const blocks: PemBlock[] = []
  let label: string | undefined
  let body = ''
  let at = 0
  while (at < text.length) {
    let eol = text.indexOf('\n', at)
    if (eol < 0) eol = text.length
    const line = text.slice(at, eol).trim()
    at = eol + 1
    if (line.startsWith('-----BEGIN ')) {
      if (label !== undefined) throw fault(`a block begins inside the block ${label}`)
      label = labelOf(line, '-----BEGIN ')
      body = ''
    } else if (line.startsWith('-----END ')) {
      if (label === undefined || labelOf(line, '-----END ') !== label) throw fault('an END line fits no BEGIN line')
      if (blocks.length >= maxBlocks) throw fault(`more than ${maxBlocks} blocks`)
      blocks.push({ label, der: decodeBody(body, label) })
      label = undefined
    } else if (label !== undefined) {
      if (line.includes(':')) throw fault(`the block ${label} has headers; encrypted or annotated PEM is not read`)
      body += line
    }
  }
  if (label !== undefined) throw fault(`the block ${label} has no END line`)
  return blocks
}

/** A PEM block with lines of 64 characters and a newline at its end. */
export function pemEncode(label: string, der: Uint8Array): string {
  const body = Buffer.from(der.buffer, der.byteOffset, der.byteLength).toString('base64')
  let lines = ''
  for (let at = 0; at < body.length; at += 64) lines += `${body.slice(at, at + 64)}\n`
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
}

function labelOf(line: string, start: string): string {
  if (!line.endsWith('-----') || line.length < start.length + 5) throw fault('a BEGIN or END line is cut off')
  return line.slice(start.length, -5)
}

function decodeBody(body: string, label: string): Uint8Array {
  try {
    return base64Decode(body)
  } catch (cause) {
    throw fault(`the block ${label} is not base64`, { cause })
  }
}

function fault(message: string, options?: { cause?: unknown }): InvalidMaterialError {
  return new InvalidMaterialError('ERR_PEM_MALFORMED', message, options)
}
