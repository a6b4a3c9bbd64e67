/**
 * Clears a timer that does not hold the process. Node.js keeps what it made for an unref'ed timer of a length of its own
 * until that time comes, cleared or not; of a timer that is ref'ed nothing stays.
 */
export function clearQuietTimer(timer: NodeJS.Timeout | undefined): void {
  clearTimeout(timer?.ref())
}
