// One GET with node:https that reads JSON and notes which certificate the server showed.
import https from 'node:https'

/** @returns {Promise<{ status: number, body: any, serial: string | undefined, reused: boolean }>} */
export function callJson(url, options) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, options, (response) => {
      const serial = response.socket.getPeerCertificate().serialNumber?.toLowerCase()
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (text += chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode, body: JSON.parse(text), serial, reused: request.reusedSocket }),
      )
    })
    request.on('error', reject)
  })
}
