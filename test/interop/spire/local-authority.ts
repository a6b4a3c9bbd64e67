import type { SpireServer } from './cluster.js'

interface Shown {
  active: { authority_id: string }
  prepared?: { authority_id: string }
  old?: { authority_id: string }
}

/** The roll-over of one kind of key of a real SPIRE server, step by step. The ID of a JWT authority is its `kid`. */
export class LocalAuthority {
  readonly #server: SpireServer
  readonly #kind: 'x509' | 'jwt'

  constructor(server: SpireServer, kind: 'x509' | 'jwt') {
    this.#server = server
    this.#kind = kind
  }

  async active(): Promise<string> {
    return (await this.#show()).active.authority_id
  }

  /** The next key is published; nothing is signed with it yet. */
  async prepare(): Promise<string> {
    await this.#run('prepare')
    return (await this.#show()).prepared!.authority_id
  }

  /** The prepared key signs from now on. */
  async activate(): Promise<void> {
    await this.#run('activate', (await this.#show()).prepared!.authority_id)
  }

  /** What the key before this one signed is to be replaced, at once. */
  async taint(): Promise<void> {
    await this.#run('taint', (await this.#show()).old!.authority_id)
  }

  /** The key before this one is published no longer. */
  async revoke(): Promise<void> {
    await this.#run('revoke', (await this.#show()).old!.authority_id)
  }

  async #show(): Promise<Shown> {
    return JSON.parse(await this.#run('show')) as Shown
  }

  #run(step: string, authorityId?: string): Promise<string> {
    const which = authorityId === undefined ? [] : ['-authorityID', authorityId]
    return this.#server.run(['localauthority', this.#kind, step, ...which, '-output', 'json'])
  }
}
