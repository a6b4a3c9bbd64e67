import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { longestTimerMs } from '../flow/index.js'

/**
 * Calls back when something changes in one of the directories, and every `pollMs` anyway: not every file system
 * reports changes, and a directory may be missing for a while. It never keeps the process alive.
 */
export class DirectoryWatch {
  readonly #directories: readonly string[]
  readonly #onChange: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #timer: NodeJS.Timeout

  constructor(directories: Iterable<string>, pollMs: number, onChange: () => void) {
    this.#directories = [...new Set(directories)]
    this.#onChange = onChange
    this.#watchAll()
    this.#timer = setInterval(
      () => {
        this.#watchAll()
        onChange()
      },
      Math.min(pollMs, longestTimerMs),
    )
    this.#timer.unref()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watchAll(): void {
    for (const directory of this.#directories) if (!this.#watchers.has(directory)) this.#watch(directory)
  }

  #watch(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, (event, name) => {
        // The directory itself was moved or removed; the next round watches what is there then.
        if (event === 'rename' && name !== null && directory.endsWith(`/${name}`)) this.#forget(directory, watcher)
        this.#onChange()
      })
      watcher.on('error', () => this.#forget(directory, watcher))
      this.#watchers.set(directory, watcher)
    } catch {
      // Missing, or out of watches: the timer looks at the files, and tries this again.
    }
  }

  #forget(directory: string, watcher: FSWatcher): void {
    watcher.close()
    if (this.#watchers.get(directory) === watcher) this.#watchers.delete(directory)
  }
}
