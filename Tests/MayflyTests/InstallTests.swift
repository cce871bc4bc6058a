import Glibc
import MayflyTestSupport
import Testing

@testable import Mayfly
@testable import MayflyCommand
@testable import MayflyHost

/// `mayfly install` and `uninstall`.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct InstallTests {
    private func script(_ text: String) throws -> ChildProcess.Outcome {
        try BuiltCommand.script("cd \"$folder\"\n" + text, seconds: 100)
    }

    /// Everything that is installed works from where it is, and goes again.
    @Test func whatIsInstalledWorksAndGoes() throws {
        let outcome = try script(
            """
            mkdir -p prefix/share/man; touch prefix/share/man/of-others
            "$mayfly" install --prefix "$folder/prefix"
            prefix/bin/mayfly --version
            find prefix -type f -newer prefix/share/man/of-others | sed 's|/man1/mayfly-.*|/man1/mayfly-...|' | sort -u
            "$mayfly" install --prefix "$folder/prefix" --json > second.json
            grep -c '"' second.json
            umask 077
            prefix/bin/mayfly uninstall --prefix "$folder/prefix" > /dev/null
            find prefix
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        let first = try #require(lines.first)
        #expect(
            first.hasPrefix("mayfly: ")
                && first.hasSuffix(", without a unit of systemd and links for mount(8)"))
        #expect(
            Array(lines.dropFirst()) == [
                "mayfly \(MayflyVersion.text)", "prefix/bin/mayfly",
                "prefix/share/bash-completion/completions/mayfly",
                "prefix/share/fish/vendor_completions.d/mayfly.fish",
                "prefix/share/man/man1/mayfly-...", "prefix/share/man/man1/mayfly.1",
                "prefix/share/mayfly/files", "prefix/share/zsh/site-functions/_mayfly",
                "\(ManualPage.all().count + 4)",
                "prefix", "prefix/share", "prefix/share/man", "prefix/share/man/of-others",
            ], "\(outcome.report)")
    }

    @Test func aPackageHasTheUnitAndTheLinks() throws {
        let outcome = try script(
            """
            "$mayfly" install --prefix /usr --root "$folder/stage" > /dev/null
            cd stage
            readlink usr/sbin/mount.mayfly usr/sbin/mount.fuse.mayfly
            grep '^ExecStart=' usr/lib/systemd/system/mayfly@.service
            stat -c %a usr/bin/mayfly usr/share/man/man1/mayfly-run.1
            """)
        #expect(
            outcome.output
                == "/usr/bin/mayfly\n/usr/bin/mayfly\nExecStart=/usr/bin/mayfly mount --foreground $MAYFLY_OPTIONS %f\n755\n644\n",
            "\(outcome.report)")
    }

    @Test func nothingOfOthersIsReplaced() throws {
        let outcome = try script(
            """
            mkdir -p prefix/bin; echo mine > prefix/bin/mayfly
            "$mayfly" install --prefix "$folder/prefix" || echo "status $?"
            find prefix -type f; cat prefix/bin/mayfly
            "$mayfly" uninstall --prefix "$folder/prefix" || echo "status $?"
            "$mayfly" install --force --prefix "$folder/prefix" > /dev/null
            prefix/bin/mayfly --version
            for bad in relative / /usr/../..; do "$mayfly" install --prefix $bad || echo "status $?"; done
            # Whatever the list says, nothing else is removed.
            echo precious > kept
            echo "$folder/prefix/../kept" >> prefix/share/mayfly/files
            echo "$folder/kept" >> prefix/share/mayfly/files
            "$mayfly" uninstall --prefix "$folder/prefix" > /dev/null
            cat kept
            """)
        #expect(outcome.status == 0, "\(outcome.report)")
        #expect(
            outcome.output.split(separator: "\n") == [
                "status 1", "prefix/bin/mayfly", "mine", "status 1", "mayfly \(MayflyVersion.text)",
                "status 1", "status 1", "status 1", "precious",
            ], "\(outcome.report)")
        #expect(outcome.errors.contains("/prefix/bin/mayfly is there already"), "\(outcome.report)")
        #expect(outcome.errors.contains("so nothing was installed by `mayfly install`"))
    }

    @Test func whoMayNotIsToldWhatToDo() throws {
        let outcome = try script(
            """
            chmod 755 "$folder"; mkdir -m 755 closed
            cp "$mayfly" command
            setpriv --reuid=61234 --regid=61234 --clear-groups ./command install --prefix "$folder/closed/p" || echo "status $?"
            """)
        #expect(outcome.output == "status 1\n", "\(outcome.report)")
        #expect(
            outcome.errors.contains(
                "/closed/p cannot be made (Permission denied): run it as root, or give --prefix"),
            "\(outcome.report)")
    }

    // MARK: man pages

    @Test func everyCommandHasAPageWithItsOptions() throws {
        let pages = Dictionary(uniqueKeysWithValues: ManualPage.all().map { ($0.name, $0.text) })
        for name in [
            "mayfly", "mayfly-run", "mayfly-image-build", "mayfly-fault-add", "mayfly-watch",
        ] {
            let page = try #require(pages[name], "\(name)")
            #expect(page.contains("\n\(name.replacing("-", with: "\\-")) \\- "), "\(name)")
        }
        let page = try #require(pages["mayfly-mount"])
        for option in ["size", "from", "until\\-pid", "transport"] {
            #expect(page.contains("\\fB\\-\\-\(option)\\fR"), "\(option)")
        }
        #expect(page.contains(".SH \"EXIT STATUS\"\n.EX\n"))
        #expect(pages["mayfly"]?.contains("\\fBmayfly\\-run\\fR(1)") == true)
    }

    /// man(1) finds nothing to say about them.
    @Test(.enabled(if: LanguageTests.has("man", "--version"), "there is no man here"))
    func manShowsThem() throws {
        let outcome = try script(
            """
            "$mayfly" install --prefix "$folder/prefix" > /dev/null
            export MANPATH="$folder/prefix/share/man" MANPAGER=cat MANWIDTH=80 LC_ALL=C.UTF-8
            for page in prefix/share/man/man1/*.1; do man --warnings -l "$page" > /dev/null; done
            man mayfly run | grep -c -- '--keep'
            man mayfly-run | tr -s ' \\n' ' ' | cut -c 1-200
            """)
        #expect(outcome.errors.isEmpty, "\(outcome.report)")
        #expect(outcome.output.contains(" NAME mayfly-run - Run a command in"), "\(outcome.report)")
    }

    // MARK: completions

    /// What bash offers, by the script that is installed.
    private static let offers = """
        "$mayfly" --generate-completion-script bash > script
        mkdir -p bin; ln -sf "$mayfly" bin/mayfly; export PATH="$folder/bin:$PATH"
        offers() {
            bash -c '
                source ./script
                COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
                _mayfly "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}" 2>/dev/null
                printf "%s\\n" "${COMPREPLY[@]}"' bash "$@"
        }

        """

    @Test func bashCompletesValues() throws {
        let outcome = try script(
            Self.offers
                + """
                offers mayfly fault add m --errno ENOSP
                offers mayfly fault add m --op fsy
                offers mayfly mount m --transport r
                offers mayfly run -- mayfl
                mkdir -p here/there; touch here/file
                offers mayfly stat here/
                """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let words = outcome.output.split(whereSeparator: \.isWhitespace)
        #expect(
            words == ["ENOSPC", "fsync", "fsyncdir", "ring", "mayfly", "here/there/"],
            "\(outcome.report)")
    }

    @Test(.enabled(if: BuiltCommand.canMount, BuiltCommand.whyNot))
    func bashCompletesMountsAndSnapshots() throws {
        let outcome = try script(
            Self.offers
                + """
                mkdir mount-here
                mayfly mount --quiet --size 16m mount-here
                mayfly snapshot mount-here before > /dev/null
                mayfly snapshot mount-here beyond > /dev/null
                offers mayfly stat "$folder/mount-"
                offers mayfly rollback "$folder/mount-here" be
                mayfly umount mount-here
                """)
        #expect(outcome.status == 0, "\(outcome.report)")
        let words = outcome.output.split(whereSeparator: \.isWhitespace)
        #expect(words.contains { $0.hasSuffix("/mount-here") }, "\(outcome.report)")
        #expect(words.suffix(2) == ["before", "beyond"], "\(outcome.report)")
    }
}
