import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly metrics`
struct MetricsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "Tell the figures of all mounts to Prometheus.",
        discussion: """
            In the text format of Prometheus, each sample with a label `mount`; of the mounts that `mayfly \
            list` shows. Errors have a label `errno`: ENOSYS and ENODATA are normal answers.

            EXAMPLE:
              mayfly metrics
              mayfly metrics --textfile /var/lib/prometheus/node-exporter/mayfly.prom
              mayfly metrics --listen 127.0.0.1:9469

            EXIT STATUS:
              0    done
              1    wrong arguments, or the file cannot be made
              2    the address is taken, or the file cannot be written
            """)

    @Option(
        help: """
            Write to this file, whole or not at all, for the textfile collector of the node exporter: \
            it must end with .prom.
            """, completion: .file(extensions: ["prom"]))
    var textfile: PathBytes?

    @Option(
        help: ArgumentHelp(
            """
            Answer GET /metrics on this address of the loopback, until the command is ended: a port, \
            127.0.0.1:PORT or [::1]:PORT. Every user of the machine can ask there.
            """, valueName: "address"))
    var listen: String?

    func run() throws {
        if let listen {
            guard textfile == nil else {
                throw MountError(.usage, "--textfile and --listen exclude each other: give one")
            }
            try MountMetrics.serve(listen) { Console.say("http://\($0)/metrics answers") }
        }
        let mounts = MountList.current()
        if let textfile { return try MountMetrics.write(mounts, to: textfile) }
        Console.put(MountMetrics.text(mounts))
    }
}
