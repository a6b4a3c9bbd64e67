/** A call as it arrived, before it was judged. */
export interface DevAgentCall {
  /** Address of the socket that it came through. */
  readonly endpoint: string
  /** `/SpiffeWorkloadAPI/FetchX509SVID` and the like. */
  readonly method: string
  /** Text metadata by lower-case name, each value as it came. */
  readonly metadata: Readonly<Record<string, readonly string[]>>
}
