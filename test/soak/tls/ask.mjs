/** The method of the gRPC service: who asks goes there, `in` comes back. */
export const ask = {
  path: '/soak.Soak/Ask',
  requestStream: false,
  responseStream: false,
  requestSerialize: Buffer.from,
  requestDeserialize: String,
  responseSerialize: Buffer.from,
  responseDeserialize: String,
}
