import type { SpiffeError } from '../errors/index.js'
import type { RetryNotice, X509Source, X509SourceState } from '../source/index.js'
import type { X509Svid } from '../svid/index.js'
import { ExpiryAlarm } from './expiry-alarm.js'
import type { Expiry, Tell } from './quick-start-events.js'

/** Tells the life of an identity from what its source reports. */
export class IdentityWatch {
  readonly #source: X509Source
  readonly #tell: Tell
  readonly #alarm: ExpiryAlarm<X509Svid>
  #svid: X509Svid | undefined
  /** Something was told that `restored` must end. */
  #troubled = false
  #unavailable = false

  constructor(source: X509Source, tell: Tell) {
    this.#source = source
    this.#tell = tell
    this.#alarm = new ExpiryAlarm<X509Svid>({
      expiring: (svid) => tell('expiring', expiryOf(svid)),
      expired: (svid) => {
        this.#troubled = true
        tell('expired', expiryOf(svid))
      },
    })
    const svid = svidIn(source)
    if (svid) this.#take(svid)
    source.on('update', () => this.#updated())
    source.on('withdrawn', (error) => this.#withdrawn(error))
    source.on('retry', (notice) => this.#retrying(notice))
    source.on('stopped', (error) => this.#lost(error))
    source.on('state', (state) => this.#changed(state))
    source.on('discarded', (error) => tell('warning', { message: error.message, error }))
    source.on('warning', (message) => tell('warning', { message }))
  }

  /** The newest SVID that there was, also when it is withdrawn or expired by now. Throws before the first. */
  get svid(): X509Svid {
    return this.#svid ?? this.#source.getX509Svid()
  }

  /** Also before the first SVID: there is none that is valid. */
  isExpired(): boolean {
    return this.#svid?.isExpired() ?? true
  }

  stop(): void {
    this.#alarm.stop()
  }

  #take(svid: X509Svid): void {
    this.#svid = svid
    this.#alarm.set(svid)
  }

  #updated(): void {
    const before = this.#svid
    const svid = svidIn(this.#source)
    if (!svid) return
    this.#take(svid)
    this.#restored()
    if (!before) this.#tell('ready')
    else if (svid.serialNumber !== before.serialNumber) {
      this.#tell('rotated', {
        oldSerialNumber: before.serialNumber,
        newSerialNumber: svid.serialNumber,
        expiresAt: svid.expiresAt,
      })
    }
  }

  #withdrawn(error: SpiffeError): void {
    this.#alarm.stop()
    this.#troubled = true
    this.#tell('withdrawn', error)
  }

  #retrying({ error, kind, attempt }: RetryNotice): void {
    // Agents end a stream now and then; the next one stands at once. And a denial is told as a withdrawal.
    if (kind === 'denied' || (kind === 'ended' && attempt === 1)) return
    this.#lost(error)
  }

  #lost(error: SpiffeError): void {
    this.#troubled = true
    if (this.#unavailable) return
    this.#unavailable = true
    this.#tell('unavailable', error)
  }

  #changed(state: X509SourceState): void {
    if (state === 'ready' && !this.isExpired()) this.#restored()
  }

  #restored(): void {
    if (!this.#troubled) return
    this.#troubled = false
    this.#unavailable = false
    this.#tell('restored')
  }
}

function expiryOf({ serialNumber, expiresAt }: X509Svid): Expiry {
  return { serialNumber, expiresAt }
}

/** The SVID in use, expired or not; absent before the first update and while it is withdrawn. */
function svidIn(source: X509Source): X509Svid | undefined {
  const { svid } = source.status()
  return svid && source.context.svids.find(({ serialNumber }) => serialNumber === svid.serialNumber)
}
