// One table lookup per character. SPIFFE-ID §2.1: a trust domain name is a-z 0-9 . - _ and nothing else;
// §2.2: a path segment is a-z A-Z 0-9 . - _ and nothing else.
const nameFlag = 1
const segmentFlag = 2

const table = new Uint8Array(128)
for (const char of 'abcdefghijklmnopqrstuvwxyz0123456789.-_') table[char.charCodeAt(0)] = nameFlag | segmentFlag
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZ') table[char.charCodeAt(0)] = segmentFlag

export function isNameChar(code: number): boolean {
  return code < 128 && ((table[code] ?? 0) & nameFlag) !== 0
}

export function isSegmentChar(code: number): boolean {
  return code < 128 && ((table[code] ?? 0) & segmentFlag) !== 0
}

/** The character as an error message may show it: never a control character. */
export function show(text: string, at: number): string {
  const code = text.charCodeAt(at)
  return code > 0x20 && code < 0x7f ? `'${text.charAt(at)}'` : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
}
