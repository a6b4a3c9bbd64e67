// A script whose only activity is one request that takes a while.
import { get } from 'node:https'

const [, , index, endpoint, url, authorize] = process.argv
const { QuickStartSVID } = await import(index)
const svid = await QuickStartSVID.initialize({ endpoint })
get(url, { agent: svid.httpsAgent({ authorize }) }, (response) => {
  response.setEncoding('utf8').on('data', (text) => process.stdout.write(text))
})
