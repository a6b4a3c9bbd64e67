import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import { status } from '@grpc/grpc-js'
import type { Board, LiveStream, WorkloadSnapshot } from './board.js'
import { CallFailure, isOk } from './call-status.js'
import type { CallStatus } from './call-status.js'

const failed: CallStatus = { code: status.INTERNAL, details: 'the dev agent failed' }

export interface UnaryForm<Request> {
  readonly answer: (request: Request, snapshot: WorkloadSnapshot) => Promise<Buffer>
  /** The status of a refusal, as the dialect puts it. */
  readonly refusal: (status: CallStatus) => CallStatus
}

/** Answers one call from the board: what it shows when it lets the call be answered. */
export function serveUnary<Request>(
  call: ServerUnaryCall<Request, Buffer>,
  respond: sendUnaryData<Buffer>,
  board: Board,
  { answer, refusal }: UnaryForm<Request>,
): void {
  let begun = false

  const finish = (error: CallStatus | null, bytes?: Buffer) => {
    if (board.streams.delete(pending)) respond(error, bytes)
  }
  const pending: LiveStream = {
    send: (bytes) => finish(null, bytes),
    end(final) {
      // There is no OK without a message.
      finish(isOk(final) ? { code: status.UNAVAILABLE, details: 'ended by the agent' } : final)
    },
    update() {
      const present = board.answer
      if (present.kind === 'refuse') pending.end(refusal(present.status))
      else if (present.kind === 'raw') pending.send(present.bytes)
      else if (present.kind === 'serve' && !begun) {
        begun = true
        answer(call.request, present.snapshot).then(
          (bytes) => finish(null, bytes),
          (error: unknown) => finish(error instanceof CallFailure ? refusal(error.status) : failed),
        )
      }
    },
  }

  call.once('cancelled', () => board.streams.delete(pending))
  board.streams.add(pending)
  pending.update()
}
