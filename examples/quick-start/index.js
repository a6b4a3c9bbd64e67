import { QuickStartSVID } from 'authsec-sdk'

const svid = await QuickStartSVID.initialize()
console.log(`this process is ${svid.spiffeId} until ${svid.expiresAt.toISOString()}`)
console.log(`for programs that read files: ${svid.certFilePath} ${svid.keyFilePath} ${svid.caFilePath}`)

const token = await svid.fetchJwtSvid(['reports'])
const { spiffeId, claims } = await svid.validateJwtSvid(token, 'reports')
console.log(`for those who take tokens: ${spiffeId}, for ${claims.aud}`)
