import type { ServerWritableStream } from '@grpc/grpc-js'
import type { Board, LiveStream, WorkloadSnapshot } from './board.js'
import { isOk } from './call-status.js'
import type { CallStatus } from './call-status.js'

export interface StreamForm {
  readonly encode: (snapshot: WorkloadSnapshot) => Buffer
  /** The status of a refusal, as the dialect puts it. */
  readonly refusal: (status: CallStatus) => CallStatus
}

/**
 * Follows the board with one server stream: the whole state at once, then again whenever it differs.
 * One message is on the way at a time, so a reader that does not keep up skips to the newest state.
 */
export function serveStream(
  call: ServerWritableStream<unknown, Buffer>,
  board: Board,
  { encode, refusal }: StreamForm,
): void {
  let sent: Buffer | undefined
  let onTheWay = false

  const send = (bytes: Buffer) => {
    sent = bytes
    onTheWay = true
    call.write(bytes, () => {
      onTheWay = false
      stream.update()
    })
  }
  const stream: LiveStream = {
    send,
    end(final) {
      board.streams.delete(stream)
      if (isOk(final)) call.end()
      else call.emit('error', final)
    },
    update() {
      const { answer } = board
      if (answer.kind === 'refuse') stream.end(refusal(answer.status))
      if (onTheWay || answer.kind === 'refuse' || answer.kind === 'stall') return
      const bytes = answer.kind === 'raw' ? answer.bytes : encode(answer.snapshot)
      // Only a change is news; a reader may take every message for one.
      if (sent && Buffer.compare(sent, bytes) === 0) return
      send(bytes)
    },
  }

  call.once('cancelled', () => board.streams.delete(stream))
  call.once('close', () => board.streams.delete(stream))
  board.streams.add(stream)
  stream.update()
}
