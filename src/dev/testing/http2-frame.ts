/** HTTP/2, RFC 9113 §4.1: what comes before the payload of a frame. */
export const frameHeaderBytes = 9

export const frameType = { data: 0, rstStream: 3, goaway: 7 } as const
export const endStreamFlag = 0x1
/** The last stream of a GOAWAY that lets every stream go on. */
export const everyStream = 2 ** 31 - 1

/** One frame, its header included. */
export function http2Frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const header = Buffer.alloc(frameHeaderBytes)
  header.writeUIntBE(payload.length, 0, 3)
  header[3] = type
  header[4] = flags
  header.writeUInt32BE(stream, 5)
  return Buffer.concat([header, payload])
}

/**
 * RFC 9113 §6.8.
 * @param lastStream - The last one that is still served.
 */
export function goawayFrame(lastStream: number, code = 0): Buffer {
  const payload = Buffer.alloc(8)
  payload.writeUInt32BE(lastStream, 0)
  payload.writeUInt32BE(code, 4)
  return http2Frame(frameType.goaway, 0, 0, payload)
}

/** Takes bytes as they come, and gives whole frames. */
export class FrameReader {
  #pending = Buffer.alloc(0)

  read(bytes: Buffer): Buffer[] {
    const frames: Buffer[] = []
    let rest = Buffer.concat([this.#pending, bytes])
    while (rest.length >= frameHeaderBytes) {
      const end = frameHeaderBytes + rest.readUIntBE(0, 3)
      if (rest.length < end) break
      frames.push(rest.subarray(0, end))
      rest = rest.subarray(end)
    }
    this.#pending = rest
    return frames
  }
}
