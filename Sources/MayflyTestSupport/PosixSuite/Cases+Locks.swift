import CMayflyTestSupport
import Glibc
import SystemPackage

/// flock(2), and locks by fcntl(2) of processes and of open files.
extension PosixSuite {
    static let locks: [PosixCase] = [
        PosixCase("locks/flock") { t in
            let one = try t["a"].create()
            let two = try t["a"].open()
            try one.flock(LOCK_SH)
            try two.flock(LOCK_SH | LOCK_NB)
            try expectError(.resourceTemporarilyUnavailable, one.flock(LOCK_EX | LOCK_NB))
            try two.flock(LOCK_UN)
            try one.flock(LOCK_EX | LOCK_NB)
            try expectError(.resourceTemporarilyUnavailable, two.flock(LOCK_SH | LOCK_NB))
            try one.close()
            try two.flock(LOCK_EX | LOCK_NB)
        },
        PosixCase("locks/flock-waits") { t in
            let one = try t["a"].create()
            try one.flock(LOCK_EX)
            let waiter = PosixThread {
                let two = try t["a"].open()
                try two.flock(LOCK_EX)
                try expectEqual(two.pread(4, at: 0), Array("done".utf8))
            }
            usleep(50_000)
            try one.write("done")
            try one.flock(LOCK_UN)
            try waiter.join()
        },
        // Locks of a process do not stand in the way of the process itself.
        PosixCase("locks/process") { t in
            let file = try t["a"].create("text")
            try file.lock(F_WRLCK, 0, 2)
            try t["a"].open().lock(F_WRLCK, 0, 2)
            let again = try t["a"].create()
            try again.lock(F_WRLCK, 0, 2)
            try expectError(
                .resourceTemporarilyUnavailable,
                t["a"].lockInChild(F_WRLCK, 1, 1))
            try t["a"].lockInChild(F_WRLCK, 2, 1)
        },
        PosixCase("locks/process-read-and-write") { t in
            let file = try t["a"].create("text")
            try file.lock(F_RDLCK)
            try t["a"].lockInChild(F_RDLCK)
            try expectError(.resourceTemporarilyUnavailable, t["a"].lockInChild(F_WRLCK))
            try file.lock(F_UNLCK)
            try t["a"].lockInChild(F_WRLCK)
        },
        PosixCase("locks/process-ranges-split") { t in
            let file = try t["a"].create()
            try file.lock(F_WRLCK, 0, 100)
            try file.lock(F_UNLCK, 40, 20)
            try t["a"].lockInChild(F_WRLCK, 40, 20)
            try expectError(.resourceTemporarilyUnavailable, t["a"].lockInChild(F_WRLCK, 39, 1))
            try expectError(.resourceTemporarilyUnavailable, t["a"].lockInChild(F_WRLCK, 60, 1))
        },
        // fcntl(2): closing any descriptor of the file drops the process's locks on it.
        PosixCase("locks/process-lost-by-close") { t in
            let file = try t["a"].create()
            try file.lock(F_WRLCK)
            try t["a"].open().close()
            try t["a"].lockInChild(F_WRLCK)
        },
        PosixCase("locks/open-file") { t in
            let one = try t["a"].create()
            let two = try t["a"].open()
            try one.lock(F_WRLCK, 0, 10, openFile: true)
            try expectError(
                .resourceTemporarilyUnavailable, two.lock(F_RDLCK, 5, 1, openFile: true))
            try expectEqual(two.lockInTheWay(of: F_RDLCK, 5, 1, openFile: true), F_WRLCK)
            try expectEqual(two.lockInTheWay(of: F_RDLCK, 10, 1, openFile: true), F_UNLCK)
            try two.lock(F_WRLCK, 10, 10, openFile: true)
            try expectError(
                .resourceTemporarilyUnavailable, t["a"].lockInChild(F_WRLCK, 0, 1, openFile: true))
            try one.close()
            try two.lock(F_WRLCK, 0, 10, openFile: true)
        },
        PosixCase("locks/open-file-between-threads") { t in
            let counter = try t["a"].create("0")
            try onThreads(4) { _ in
                let file = try t["a"].open()
                for _ in 0..<50 {
                    try file.lock(F_WRLCK, openFile: true, wait: true)
                    let text = String(decoding: try file.pread(20, at: 0), as: UTF8.self)
                    try file.pwrite("\(Int(text)! + 1)", at: 0)
                    try file.lock(F_UNLCK, openFile: true)
                }
            }
            try expectEqual(counter.pread(20, at: 0), Array("200".utf8))
        },
        // The mount serves others while one thread waits for a lock.
        PosixCase("locks/waiting-blocks-nobody-else") { t in
            let one = try t["a"].create()
            try one.lock(F_WRLCK, openFile: true)
            let waiters = (0..<8).map { _ in
                PosixThread {
                    try t["a"].open().lock(F_WRLCK, openFile: true, wait: true)
                }
            }
            usleep(20_000)
            for index in 0..<100 { try t["n\(index)"].create("x") }
            try expectEqual(t.root.names().count, 101)
            try one.lock(F_UNLCK, openFile: true)
            for waiter in waiters { try waiter.join() }
        },
        PosixCase("locks/open-modes") { t in
            try t["a"].create()
            try expectError(.badFileDescriptor, t["a"].open(O_RDONLY).lock(F_WRLCK))
            try expectError(.badFileDescriptor, t["a"].open(O_WRONLY).lock(F_RDLCK))
            try t["a"].open(O_RDONLY).flock(LOCK_EX | LOCK_NB)
        },
    ]
}
