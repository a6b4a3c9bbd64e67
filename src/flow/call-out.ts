/**
 * Calls a function that is not ours. What it throws is its own fault: it surfaces as an uncaught exception, as from any
 * listener, and does not unwind the work that called out.
 */
export function callOut(run: () => void): void {
  try {
    run()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
