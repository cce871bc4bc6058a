import ArgumentParser
import Mayfly
import MayflyHost

/// `mayfly list`
struct ListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "List the Mayfly mounts there are.",
        discussion: """
            Yours, or for root everyone's. The state is "serving"; "silent" where the server does \
            not answer within 2 s, and then a line on the standard error ("problem" in JSON) says \
            what to do; or "dead" where it is gone, so that the mount can only be unmounted. \
            A mountpoint in brackets is not one here: the mount is detached, or in \
            another mount namespace. What a killed server left behind is removed. Where a \
            mount survives its server, two columns more tell its guardian ("killed" where it was) and how \
            many servers have died.

            EXAMPLE:
              mayfly list --json | jq -r '.[] | select(.state == "dead") | .mountpoint'

            EXIT STATUS:
              0    done, also when there is none
              1    wrong arguments
            """)

    @Flag(help: "Print JSON: an array of mounts.")
    var json = false

    func run() throws {
        let (mounts, remarks) = MountList.survey()
        for remark in remarks { Console.complain(remark) }
        if json {
            Console.write(ControlJSON.encoded(mounts, isPretty: true))
            return
        }
        if mounts.isEmpty {
            Console.complain("there is no mount: `mayfly mount DIR` makes one")
            return
        }
        for line in Self.table(mounts) { Console.show(line) }
        for problem in mounts.compactMap(\.problem) {
            Console.complain(problem)
        }
    }

    /// Its mountpoint, in brackets where it is none here.
    static func place(_ mount: ListedMount) -> String {
        let name = ShellQuote.quoted(mount.mountpoint)
        return mount.isVisible ? name : "[\(name)]"
    }

    static func table(_ mounts: [ListedMount]) -> [String] {
        let survive = mounts.contains { $0.report?.survival != nil }
        var table = Table(
            [
                ("MOUNT", .left), ("STATE", .left), ("USED", .right), ("SIZE", .right),
                ("INODES", .right), ("TRANSPORT", .left),
            ] + (survive ? [("GUARDIAN", .right), ("DEATHS", .right)] : []) + [("PID", .right)])
        for mount in mounts {
            let report = mount.report
            let cells = [
                Self.place(mount),
                mount.state.rawValue,
                report.map { Numbers.bytes($0.bytes.used) } ?? "-",
                report.map { Numbers.bytes($0.bytes.limit) } ?? "-",
                report.map { "\($0.inodes.used)" } ?? "-", report?.transport ?? "-",
            ]
            table.add(
                cells + (survive ? Self.survival(report?.survival) : [])
                    + [mount.processID.map { "\($0)" } ?? "-"])
        }
        return table.lines
    }

    private static func survival(_ survival: MountReport.Survival?) -> [String] {
        guard let survival else { return ["-", "-"] }
        return [survival.guardian.map { "\($0)" } ?? "killed", "\(survival.deaths)"]
    }
}
