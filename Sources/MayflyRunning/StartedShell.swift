// The shell that `mayfly run` starts when it is given no command.
//
// Its prompt is to say where one is, and the user's own files for the shell are to be read as ever. A shell
// takes one file in place of those, by an option or a variable: it lies in a folder in memory that has no
// path, which the shell has open, and it reads the user's files itself.

import CMayflySystem
import Glibc
import Mayfly
import MayflyHost

/// A shell as a command.
struct StartedShell {
    /// The program and its arguments.
    let command: [PathBytes]
    /// Variables that it gets, as NAME=VALUE.
    let variables: [PathBytes]
    /// The folder that it is to have open under this number; -1 for none.
    let folder: Int32

    /// The shell that the caller has: $SHELL, else that of the account, else /bin/sh.
    ///
    /// - Precondition: the process is where it may mount, for the folder; without it the prompt says nothing.
    init() {
        let shell = Self.program()
        let isInteractive = isatty(STDIN_FILENO) != 0
        let name = String(decoding: shell.names.last ?? [], as: UTF8.self)
        guard isInteractive, let kind = Kind(name) else {
            (command, variables, folder) = ([shell], [], -1)
            return
        }
        if kind == .fish {
            (command, variables, folder) = ([shell, "--init-command", Self.fishPrompt], [], -1)
            return
        }
        let opened = Self.folder(kind.files)
        folder = opened
        guard opened >= 0 else {
            (command, variables) = ([shell, "-i"], [])
            return
        }
        let place = PathBytes("/proc/self/fd/\(opened)")
        switch kind {
        case .bash:
            command = [shell, "--rcfile", place + "/rc", "-i"]
            variables = []
        case .zsh:
            command = [shell, "-i"]
            variables = Self.moved("ZDOTDIR", to: place)
        case .posix, .fish:
            command = [shell, "-i"]
            variables = Self.moved("ENV", to: place + "/rc")
        }
    }

    /// Whether a command is a shell that will take the terminal to itself and give it back: it is to begin
    /// with a process group that it can name, and that of this process is in another pid namespace.
    ///
    /// Any other command stays in the group of this process, so that Ctrl-Z stops both.
    static func takesTerminal(_ command: [PathBytes]) -> Bool {
        let name = String(decoding: command[0].names.last ?? [], as: UTF8.self)
        let options: [PathBytes] = ["-i", "--rcfile", "--init-command"]
        let isInteractive =
            command.count == 1 || command.dropFirst().contains(where: options.contains)
        return isInteractive && Kind(name) != nil && name != "busybox"
            && isatty(STDIN_FILENO) != 0 && tcgetpgrp(STDIN_FILENO) == getpgrp()
    }

    private enum Kind {
        case bash, zsh, posix, fish

        init?(_ name: String) {
            switch name {
            case "bash": self = .bash
            case "zsh": self = .zsh
            case "fish": self = .fish
            case "sh", "dash", "ash", "busybox", "ksh", "ksh93", "mksh", "oksh", "yash":
                self = .posix
            default: return nil
            }
        }

        /// The files of the folder by name; `DESCRIPTOR` stands for its number.
        var files: [(name: String, content: String)] {
            let prompt = "(mayfly $MAYFLY_ROOT) "
            switch self {
            case .bash:
                return [
                    (
                        "rc",
                        "[ -r ~/.bashrc ] && . ~/.bashrc\nPS1='\(prompt)'\"$PS1\"\n" + Self.close
                    )
                ]
            case .posix:
                // The shell has expanded ENV already, so the user's own is expanded here.
                return [
                    (
                        "rc",
                        """
                        if [ -n "$MAYFLY_ENV" ]; then
                            ENV=$MAYFLY_ENV; eval ". \\"$ENV\\""
                        else
                            unset ENV
                        fi
                        unset MAYFLY_ENV
                        PS1='\(prompt)'"$PS1"

                        """ + Self.close
                    )
                ]
            case .zsh:
                let find = "ZDOTDIR=${MAYFLY_ZDOTDIR:-$HOME}\n"
                return [
                    (
                        ".zshenv",
                        find + "[[ -r $ZDOTDIR/.zshenv ]] && . $ZDOTDIR/.zshenv\n"
                            + "MAYFLY_ZDOTDIR=$ZDOTDIR\nZDOTDIR=/proc/self/fd/DESCRIPTOR\n"
                    ),
                    (
                        ".zshrc",
                        find + "[[ -r $ZDOTDIR/.zshrc ]] && . $ZDOTDIR/.zshrc\n"
                            + "[[ $ZDOTDIR = $HOME ]] && unset ZDOTDIR\nunset MAYFLY_ZDOTDIR\n"
                            + "PROMPT=\"(mayfly ${MAYFLY_ROOT//\\%/%%}) $PROMPT\"\n" + Self.close
                    ),
                ]
            case .fish: return []
            }
        }

        /// Programs that the shell starts need not have the folder.
        private static let close = "exec DESCRIPTOR<&-\n"
    }

    private static let fishPrompt: PathBytes = """
        functions --copy fish_prompt mayfly_own_prompt
        function fish_prompt; echo -n "(mayfly $MAYFLY_ROOT) "; mayfly_own_prompt; end
        """

    /// A variable with a new value, and its old one under a name of ours.
    private static func moved(_ name: String, to value: PathBytes) -> [PathBytes] {
        var variables = [PathBytes("\(name)=") + value]
        if let old = ProcessArguments.variable(name) {
            variables.append(PathBytes("MAYFLY_\(name)=") + old)
        }
        return variables
    }

    private static func program() -> PathBytes {
        let candidates = [ProcessArguments.variable("SHELL"), Accounts.shell(of: getuid())]
        for case let shell? in candidates
        where unsafe shell.withCString({ unsafe access($0, X_OK) }) == 0 && shell.isAbsolute {
            return shell
        }
        return "/bin/sh"
    }

    /// A folder in memory with files, open; -1 where there can be none.
    private static func folder(_ files: [(name: String, content: String)]) -> Int32 {
        let mount = unsafe csys_detached_mount("tmpfs")
        guard mount >= 0 else { return -1 }
        // One digit: no more does every shell take in front of a redirection.
        guard mount <= 9 else {
            close(mount)
            return -1
        }
        for file in files {
            let descriptor = unsafe openat(
                mount, file.name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_t(0o600))
            guard descriptor >= 0 else {
                close(mount)
                return -1
            }
            let content = Array(file.content.replacing("DESCRIPTOR", with: "\(mount)").utf8)
            _ = unsafe write(descriptor, content, content.count)
            close(descriptor)
        }
        return mount
    }
}
