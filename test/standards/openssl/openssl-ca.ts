import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Openssl } from './openssl.js'

/** Kinds of keys that SVIDs are made of, as `openssl genpkey` wants to hear of them. */
export const keyKinds = {
  'EC P-256': ['EC', 'ec_paramgen_curve:P-256'],
  'EC P-384': ['EC', 'ec_paramgen_curve:P-384'],
  'EC P-521': ['EC', 'ec_paramgen_curve:P-521'],
  'RSA 2048': ['RSA', 'rsa_keygen_bits:2048'],
  'RSA 3072': ['RSA', 'rsa_keygen_bits:3072'],
  Ed25519: ['ED25519'],
} as const

export type KeyKind = keyof typeof keyKinds

/** A key and its certificate, as files. */
export interface OpensslCertificate {
  readonly key: string
  readonly cert: string
}

export interface OpensslIssueOptions {
  kind: KeyKind
  /** Lines of the extension section beside those of a leaf, or of a signing certificate. */
  extensions?: readonly string[]
  /** Further arguments of `openssl ca`. */
  how?: readonly string[]
}

/** A new key as unencrypted PKCS#8 in PEM. */
export async function newKey(openssl: Openssl, name: string, kind: KeyKind): Promise<string> {
  const path = openssl.path(`${name}.key`)
  const [algorithm, ...options] = keyKinds[kind]
  await openssl.run('genpkey', '-algorithm', algorithm, ...options.flatMap((one) => ['-pkeyopt', one]), '-out', path)
  return path
}

/** A signing certificate made by `openssl ca`, with the database that revocation needs. */
export class OpensslCa implements OpensslCertificate {
  readonly key: string
  readonly cert: string
  readonly #openssl: Openssl
  readonly #directory: string
  #issued = 0

  private constructor(openssl: Openssl, directory: string, key: string, cert: string) {
    this.#openssl = openssl
    this.#directory = directory
    this.key = key
    this.cert = cert
  }

  /** A root with the SPIFFE ID of the trust domain. */
  static async root(
    openssl: Openssl,
    { trustDomain, kind, name, subject = name }: { trustDomain: string; kind: KeyKind; name: string; subject?: string },
  ): Promise<OpensslCa> {
    const key = await newKey(openssl, name, kind)
    const cert = openssl.path(`${name}.crt`)
    const config = openssl.path(`${name}.req.cnf`)
    await writeFile(config, ['[req]', 'distinguished_name=dn', '[dn]', '[ext]', ...signer(trustDomain), ''].join('\n'))
    const how = ['-new', '-x509', '-days', '30', '-config', config, '-extensions', 'ext', '-subj', `/CN=${subject}`]
    await openssl.run('req', ...how, '-key', key, '-out', cert)
    return OpensslCa.#open(openssl, name, key, cert)
  }

  /** A signing certificate below this one. */
  async intermediate(trustDomain: string, name: string, options: OpensslIssueOptions): Promise<OpensslCa> {
    const { key, cert } = await this.#issue(name, options, signer(trustDomain), 14)
    return OpensslCa.#open(this.#openssl, name, key, cert)
  }

  leaf(spiffeId: string, name: string, options: OpensslIssueOptions): Promise<OpensslCertificate> {
    return this.#issue(name, options, [
      `subjectAltName=critical,URI:${spiffeId}`,
      'basicConstraints=critical,CA:false',
      'keyUsage=critical,digitalSignature',
      'extendedKeyUsage=serverAuth,clientAuth',
      'subjectKeyIdentifier=hash',
      'authorityKeyIdentifier=keyid',
    ])
  }

  /** Puts a certificate that this one issued on the next list. */
  async revoke({ cert }: OpensslCertificate, ...how: readonly string[]): Promise<void> {
    await this.#ca('-revoke', cert, ...how)
  }

  /** A revocation list of all that was revoked, DER. */
  async crl(...how: readonly string[]): Promise<Uint8Array> {
    const [pem, der] = [join(this.#directory, 'crl.pem'), join(this.#directory, 'crl.der')]
    await this.#ca('-gencrl', '-crldays', '7', '-out', pem, ...how)
    await this.#openssl.run('crl', '-in', pem, '-outform', 'DER', '-out', der)
    return readFile(der)
  }

  static async #open(openssl: Openssl, name: string, key: string, cert: string): Promise<OpensslCa> {
    const directory = openssl.path(`${name}.ca`)
    await mkdir(directory)
    await writeFile(join(directory, 'index.txt'), '')
    await writeFile(join(directory, 'crlnumber'), '01\n')
    return new OpensslCa(openssl, directory, key, cert)
  }

  async #issue(
    name: string,
    { kind, extensions = [], how = [] }: OpensslIssueOptions,
    usual: readonly string[],
    days = 7,
  ): Promise<OpensslCertificate> {
    const key = await newKey(this.#openssl, name, kind)
    const [request, cert] = [this.#openssl.path(`${name}.csr`), this.#openssl.path(`${name}.crt`)]
    const extFile = this.#openssl.path(`${name}.ext`)
    await writeFile(extFile, [...usual, ...extensions, ''].join('\n'))
    // `/dev/null` keeps the configuration of the machine out of the request.
    const subject = ['-subj', `/CN=${name} ${++this.#issued}`]
    await this.#openssl.run('req', '-new', '-config', '/dev/null', ...subject, '-key', key, '-out', request)
    await this.#ca('-in', request, '-out', cert, '-extfile', extFile, '-days', String(days), '-notext', ...how)
    return { key, cert }
  }

  async #ca(...args: readonly string[]): Promise<void> {
    const config = join(this.#directory, 'ca.cnf')
    const lines = [
      '[ca]',
      'default_ca=this',
      '[this]',
      `dir=${this.#directory}`,
      'database=$dir/index.txt',
      'crlnumber=$dir/crlnumber',
      'new_certs_dir=$dir',
      `certificate=${this.cert}`,
      `private_key=${this.key}`,
      'default_md=default',
      'policy=any',
      'unique_subject=no',
      'rand_serial=yes',
      'crl_extensions=list',
      '[any]',
      'commonName=supplied',
      '[list]',
      'authorityKeyIdentifier=keyid',
      '',
    ]
    await writeFile(config, lines.join('\n'))
    await this.#openssl.run('ca', '-batch', '-config', config, ...args)
  }
}

function signer(trustDomain: string): string[] {
  return [
    `subjectAltName=URI:spiffe://${trustDomain}`,
    'basicConstraints=critical,CA:true',
    'keyUsage=critical,keyCertSign,cRLSign',
    'subjectKeyIdentifier=hash',
  ]
}
