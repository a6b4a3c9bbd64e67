// verifyJwtSvid beside bare jose, and beside the least that could be done by hand.
import { constants, verify } from 'node:crypto'
import { JwtBundleSet, verifyJwtSvid } from 'authsec-sdk'
import { makeTestKeys } from 'authsec-sdk/testing'
import { importSPKI, jwtVerify } from 'jose'
import { interleave, interval, median, summarize } from '../statistics.mjs'
import { time } from './bench.mjs'

/** As many that what the compiler does in the first rounds weighs nothing. */
const perRound = 1000
const audience = 'spiffe://example.org/ns/production/sa/ledger'
const keyId = 'aPh7Rl2bNq0kXw5sYt8uVz1cDe3fGg4h'

/** crypto.verify and the checks that a token cannot do without, each as short as can be. */
function byHand(token, authorities, options) {
  const [header, payload, signature] = token.split('.')
  const { alg, kid, typ, ...rest } = JSON.parse(Buffer.from(header, 'base64url').toString())
  if (alg !== options.alg || (typ !== undefined && typ !== 'JWT') || Object.keys(rest).length > 0)
    throw new Error('header')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const { trustDomain } = /^spiffe:\/\/(?<trustDomain>[a-z0-9._-]+)\//.exec(claims.sub).groups
  const key = authorities.get(trustDomain).get(kid)
  const signed = Buffer.from(token.slice(0, header.length + 1 + payload.length))
  if (!verify('sha256', signed, { key, ...options.how }, Buffer.from(signature, 'base64url')))
    throw new Error('signature')
  if (![claims.aud].flat().includes(audience)) throw new Error('aud')
  if (!(claims.exp * 1000 > Date.now() - 60_000)) throw new Error('exp')
  return claims
}

export async function jwtTables(td, rounds) {
  const tables = []
  for (const [alg, type, how] of [
    ['ES256', 'ec-p256', { dsaEncoding: 'ieee-p1363' }],
    ['RS256', 'rsa-2048', { padding: constants.RSA_PKCS1_PADDING }],
  ]) {
    const { publicKey, privateKey } = makeTestKeys(type)
    const sub = 'spiffe://example.org/ns/production/sa/payments'
    const token = td.token({ header: { alg, kid: keyId, typ: 'JWT' }, claims: { sub, aud: [audience] }, privateKey })
    const bundles = new JwtBundleSet([td.jwtBundle([{ keyId, publicKey }])])
    const imported = await importSPKI(publicKey.export({ type: 'spki', format: 'pem' }), alg)
    const authorities = new Map([['example.org', new Map([[keyId, publicKey]])]])
    const joseOptions = { algorithms: [alg], audience, requiredClaims: ['sub', 'exp'], clockTolerance: 60 }
    const samples = await interleave(
      {
        'bare jose': time(perRound, () => jwtVerify(token, imported, joseOptions)),
        verifyJwtSvid: time(perRound, () => verifyJwtSvid(token, bundles, { audience })),
        'crypto.verify by hand': time(perRound, () => byHand(token, authorities, { alg, how })),
      },
      rounds,
    )
    const rates = samples['bare jose'].map((value, round) => value / samples.verifyJwtSvid[round])
    const [rate, low, high] = [median(rates), ...interval(rates)].map((value) => value.toFixed(2))
    tables.push({
      title: `JWT-SVID, ${alg}`,
      unit: 'µs of CPU',
      baseline: 'bare jose',
      rows: summarize(samples, 'bare jose'),
      notes: [
        `verifyJwtSvid proves ${rate} (${low} – ${high}) × as many tokens as bare jose in the same time (required: 1.00; goal for ES256: 1.30)`,
      ],
    })
  }
  return tables
}
