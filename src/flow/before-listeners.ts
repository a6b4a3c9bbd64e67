import type { EventEmitter } from 'node:events'

/**
 * Asks `judge` about each event of an emitter before any listener hears of it, also one that is prepended later, and also
 * when all are removed. What it answers `false` to is told to nobody, and counts as heard.
 */
export function beforeListeners(
  emitter: EventEmitter,
  judge: (event: string | symbol, args: readonly unknown[]) => boolean,
): void {
  const emit = emitter.emit.bind(emitter)
  emitter.emit = (event: string | symbol, ...args: unknown[]) => !judge(event, args) || emit(event, ...args)
}
