import WebSocketEngine

extension Classroom {
    /// Starts the level once more, as after the end of its process, for as long as `script` runs. This room's own
    /// server goes on; give the new one files of its own. `after`: what has happened, for the transcript.
    public func restarted<Result>(
        _ makeApplication: @escaping @Sendable () -> Application, after event: String = "",
        _ script: (Classroom) throws -> Result
    ) throws -> Result {
        transcript.add(event.isEmpty ? "The server" : "\(event), and the server", "is started anew")
        let room = try Classroom(transcript: transcript, standardError: standardError, makeApplication)
        room.isRestarted = true
        defer { room.dismiss() }
        return try script(room)
    }

    /// What was written to the standard error since the last call. It is shown only if the check fails.
    public func standardErrorOutput() -> String { standardError?.next() ?? "" }
}
