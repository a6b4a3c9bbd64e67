/** HTTP/2 by hand, for what Node's own client would not send. */
export const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

/** `POST https://a/` as HPACK has it, RFC 7541. */
export const postToA = [0x83, 0x87, 0x84, 0x01, 1, 0x61]

const types = { HEADERS: 1, RST_STREAM: 3, SETTINGS: 4, PING: 6 }

/** RFC 9113 §4.1. Headers end with the frame, and their stream goes on. */
export function frame(type: keyof typeof types, stream: number, payload: readonly number[] = []): Buffer {
  return Buffer.from([0, 0, payload.length, types[type], type === 'HEADERS' ? 4 : 0, 0, 0, 0, stream, ...payload])
}
