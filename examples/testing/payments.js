import { callerOfRequest } from 'authsec-sdk/https'

/** The service that the tests are about: the shop may pay. */
export function createPayments(svid) {
  return svid.createHttpsServer({ authorize: 'spiffe://example.org/shop' }, (request, response) => {
    response.end(`paid for ${callerOfRequest(request)?.id}`)
  })
}
