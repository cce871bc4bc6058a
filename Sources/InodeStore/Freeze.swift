// Freeze: the whole store at one moment, between requests.
//
// A worker is a right, so whoever holds all of them has the store to itself. Requests that come
// meanwhile wait where they begin, and no operation is half done.

internal import MayflyArena

extension InodeStore {
    /// Stops every worker between two batches, frees what waited for its readers, and calls `body`.
    ///
    /// - Precondition: the caller has not entered a worker, and nobody stays in one for ever. Of
    ///   two callers at once one waits in vain: the caller sees to it that there is one.
    /// - Complexity: O(workers), beside what waits to be freed; it waits for the requests that are
    ///   being answered.
    package func whileFrozen<Result>(_ body: () -> Result) -> Result {
        for index in 0..<arena.workerCount { worker(index).enter() }
        defer { for index in 0..<arena.workerCount { worker(index).worker.leave() } }
        settle()
        return body()
    }

    /// Frees everything that waits for readers, of which there are none.
    func settle() {
        var isLeft = true
        while isLeft {
            isLeft = false
            // Each takes note of the epoch, and the last can move it on.
            for index in 0..<arena.workerCount { worker(index).reclaim() }
            for index in 0..<arena.workerCount where worker(index).worker.hasRetired() {
                isLeft = true
            }
        }
    }
}
