import type { SpiffeErrorCode } from './codes.js'

export interface SpiffeErrorOptions {
  /** What lay underneath, kept unchanged. */
  cause?: unknown
}

/** Everything this library throws on purpose. Switch on `code`; `cause` keeps what lay underneath. */
export class SpiffeError extends Error {
  override readonly name: string = 'SpiffeError'
  /** Stable; the wording of `message` is not. */
  readonly code: SpiffeErrorCode

  constructor(code: SpiffeErrorCode, message: string, options?: SpiffeErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The call is wrong: mend the argument, option or environment variable that the message names. */
export class InvalidInputError extends SpiffeError {
  override readonly name = 'InvalidInputError'
}

/** The issuer, agent or file delivered bytes that are not what they should be. */
export class InvalidMaterialError extends SpiffeError {
  override readonly name = 'InvalidMaterialError'
}

/** The peer did not prove that it is who it should be. Refuse it; the same bytes will not do better later. */
export class UntrustedPeerError extends SpiffeError {
  override readonly name = 'UntrustedPeerError'
}

/** The object was used after `close()`. */
export class ClosedError extends SpiffeError {
  override readonly name = 'ClosedError'

  constructor(what: string) {
    super('ERR_CLOSED', `${what} is closed`)
  }
}

export interface WorkloadApiErrorOptions extends SpiffeErrorOptions {
  /** The address that was asked. */
  endpoint?: string | undefined
  /** gRPC status code of the last answer, 0–16. */
  grpcStatus?: number | undefined
}

/** The agent did not deliver. `grpcStatus` says how it answered last; absent when there was no answer. */
export class WorkloadApiError extends SpiffeError {
  override readonly name = 'WorkloadApiError'
  readonly endpoint: string | undefined
  readonly grpcStatus: number | undefined

  constructor(code: SpiffeErrorCode, message: string, options?: WorkloadApiErrorOptions) {
    super(code, message, options)
    this.endpoint = options?.endpoint
    this.grpcStatus = options?.grpcStatus
  }
}
