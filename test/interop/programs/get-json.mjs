// One GET with node:https that reads JSON, and notes which certificate the server showed and whether the socket was new.
import https from 'node:https'

/** @returns {Promise<{ status: number, body: any, serial: string | undefined, reused: boolean }>} */
export function getJson(url, agent) {
  return new Promise((resolve, reject) => {
    const request = https.get(url, { agent }, (response) => {
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
