import ArgumentParser

@main
struct MayflyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "mayfly")
}
