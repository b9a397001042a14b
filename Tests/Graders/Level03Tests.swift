import GraderKit
import Level03
import XCTest

/// Level 03 – Connection manager. Chapter 3 of Course.md.
final class Level03Tests: XCTestCase {
    func testEveryoneHearsWhoJoins() throws {
        try grade(Connections.self, "a join is told to everyone connected, the joiner included") { room in
            let anna = try room.enter("Anna", 1)
            try anna.send("first")
            try anna.expect("Client 1 joined", "the joiner is one of everyone: add it before you tell them")
            try anna.expect("Client 1: first", "each join is told once")
            let ben = try room.connect("Ben", to: "/ws/-20")
            try ben.send("second")
            try ben.expect(
                "Client -20 joined", "a newcomer hears of itself, and not of those who came before")
            try ben.expect(
                "Client -20: second", "a newcomer hears of itself, and not of those who came before")
            try anna.expect("Client -20 joined", "those who are here hear who joins")
            try anna.expect("Client -20: second", "each join is told once")
        }
    }

    func testEveryoneHearsWhatIsSaid() throws {
        try grade(Connections.self, "a text is told to everyone connected, the sender included") { room in
            let clients = try room.gather(2, 1, 3)
            for text in ["hi", "", " two  spaces ", "to 1 hi", "/total 5", " /to 1 hi", "Grüße 👩‍👩‍👧"] {
                try clients[0].send(text)
                let hint =
                    text.contains("/")
                    ? "only /to and /to followed by a space are special"
                    : "the text goes to everyone as it came, and to its sender too: so one sees what others see"
                for client in clients { try client.expect("Client 2: \(text)", hint) }
            }
            try clients[0].send([1, 2, 3])
            try clients[0].send("after")
            try hinting(
                ifGot: "close", "to ignore a message is to wait for the next: do not leave the loop"
            ) {
                for client in clients {
                    try client.expect("Client 2: after", "nobody is told of a binary message")
                }
            }
        }
    }

    func testEveryoneLeftHearsWhoLeaves() throws {
        try grade(Connections.self, "a leave, of whichever kind, is told to everyone who is still here") {
            room in
            var clients = try room.gather(1, 2, 3, 4, 5, 6, 7, 8)
            for (number, leave) in ["close", "drop", "reset", "no code", "drop", "close"].enumerated() {
                let leaver = clients.removeFirst()
                switch leave {
                case "close": try leaver.close(code: 4000, reason: "Lunch")
                case "no code": try leaver.closeWithoutCode()
                default: leaver.drop(reset: leave == "reset")
                }
                let hint =
                    leave == "drop" || leave == "reset"
                    ? "who is cut off has left as well, though receiving throws then: call leave() on both ways "
                        + "out; and in it forget the leaver first, then tell the others, as a send to it may throw"
                    : "forget the leaver first and then tell the others, after every kind of end"
                try hinting(ifGot: "text \"Client \(number) left\"", leftTwice) {
                    for client in clients { try client.expect("Client \(number + 1) left", hint) }
                }
            }
            try clients[0].send("fence")
            for client in clients { try client.expect("Client 7: fence", leftTwice) }
        }
    }

    func testTheIdOfALeaverIsFree() throws {
        try grade(Connections.self, "who has left is not here any more, and the id may be used again") {
            room in
            let clients = try room.gather(1, 2, 3)
            try clients[1].close()
            clients[2].drop()
            try clients[0].expectInAnyOrder(["Client 2 left", "Client 3 left"])
            for id in [2, 3] {
                try clients[0].send("/to \(id) hi")
                try clients[0].send("fence")
                try clients[0].expect(
                    "Client \(id) is not here", "forget the socket of a client that has left")
                try clients[0].expect("Client 1: fence")
                let again = try room.connect("Client \(id) again", to: "/ws/\(id)", "free the id of a leaver")
                try again.expect("Client \(id) joined")
                try clients[0].expect("Client \(id) joined")
            }
        }
    }

    func testAPrivateMessageReachesOneAlone() throws {
        try grade(Connections.self, "/to 2 hi reaches client 2 and nobody else") { room in
            let clients = try room.gather(7, 2, 21, -2)
            for text in ["hi", " two  spaces ", "/to 21 hi", "2"] {
                try clients[0].send("/to 2 \(text)")
                try clients[0].send("fence")
                try clients[1].expect(
                    "Client 7 (only you): \(text)",
                    "the message is all that comes after the one space behind the id, with its own spaces; split() "
                        + "cuts at every space and leaves out empty parts, unless you tell it otherwise")
                for client in clients {
                    try client.expect("Client 7: fence", forOneAlone)
                }
            }
            try clients[0].send("/to -2 minus")
            try clients[0].send("/to 7 note to self")
            try clients[0].send("fence")
            try clients[3].expect("Client 7 (only you): minus")
            try clients[0].expect(
                "Client 7 (only you): note to self",
                "the sender is here too: one may write to oneself, and hears it once")
            for client in clients {
                try client.expect("Client 7: fence", forOneAlone)
            }
        }
    }

    func testSomeoneWhoIsNotHereIsReportedToTheSender() throws {
        try grade(Connections.self, "a private message to someone not here is reported to its sender alone") {
            room in
            let clients = try room.gather(1, 2)
            try clients[0].send("/to 9 hi")
            try clients[0].expect("Client 9 is not here", "the sender must learn that nobody got the message")
            try clients[0].send("still here")
            try hinting(ifGot: "close", toldAndNotClosed) {
                for client in clients {
                    try client.expect("Client 1: still here", "only the one who made a mistake hears of it")
                }
            }
        }
    }

    func testAMalformedPrivateMessageIsExplained() throws {
        try grade(
            Connections.self, "a /to without id or message is answered with its usage, to the sender alone"
        ) { room in
            let clients = try room.gather(1, 2)
            for (text, hint) in [
                ("/to", "there is neither an id nor a message"),
                ("/to ", "there is neither an id nor a message"),
                ("/to 2", "the message is missing"), ("/to 2 ", "the message is empty"),
                ("/to two hi", "\"two\" is no Int"), ("/to 2.0 hi", "\"2.0\" is no Int"),
                ("/to hi", "\"hi\" is no Int, and there is no message"),
                ("/to 99999999999999999999 hi", "a number too large for Int is no Int"),
            ] {
                try clients[0].send(text)
                try clients[0].send("fence")
                try hinting(ifGot: "close", toldAndNotClosed) {
                    try hinting(
                        ifGot: "text \"Client 1: \(text)\"",
                        "a slip in a private message must not tell it to everyone: it stays between server and sender"
                    ) {
                        try hinting(
                            ifCrashed:
                                "\"\(text)\" has fewer parts than you expect, or none that is a number: "
                                + "count them before you take one out, and do not unwrap with !"
                        ) {
                            try clients[0].expect("Usage: /to ID MESSAGE", "in \"\(text)\", \(hint)")
                        }
                    }
                    for client in clients {
                        try client.expect("Client 1: fence", "only the one who made a mistake hears of it")
                    }
                }
            }
        }
    }

    func testAnIdIsAnInteger() throws {
        try grade(Connections.self, "an id that is no Int is refused, and nobody hears of it") { room in
            let anna = try room.enter("Anna", 1)
            try anna.expect("Client 1 joined")
            for id in ["ben", "1.5", "7a", "%20", "0x10", "99999999999999999999"] {
                try hinting(
                    ifCrashed: "what a client sends may be anything: Int(\"…\") may be nil, and unwrapping "
                        + "nil with ! ends the whole server"
                ) {
                    try room.expectRefusal(
                        "Ben", to: "/ws/\(id)",
                        "Int(\"…\") is nil if not all of the text is an integer: refuse then, and do not make up "
                            + "an id")
                }
            }
            let zoe = try room.connect("Zoe", to: "/ws/0")
            try zoe.expect("Client 0 joined")
            try anna.expect("Client 0 joined", "who was refused has never been here")
        }
    }

    func testAnIdInUseIsRefused() throws {
        try grade(
            Connections.self, "a second client with an id in use is refused with 409, unnoticed by the first"
        ) { room in
            let clients = try room.gather(1, 2)
            let hint =
                "ask before accept() whether the id is in use, and reject(status: 409) if it is: after accept() only "
                + "a close is left, and a dictionary replaces an entry without a word"
            for hint in [hint, refusedOneLeft] {
                try room.expectRefusal("Impostor", to: "/ws/2", status: 409...409, hint)
            }
            try clients[0].send("fence")
            try hinting(ifGot: "text \"Client 2 left\"", refusedOneLeft) {
                for client in clients { try client.expect("Client 1: fence", "nobody came and nobody left") }
            }
            try clients[0].send("/to 2 are you there?")
            try clients[1].expect(
                "Client 1 (only you): are you there?",
                "the refused one must not take the first one's place with it")
            try clients[1].send("yes")
            for client in clients { try client.expect("Client 2: yes", "nobody came and nobody left") }
        }
    }

    func testOfSeveralAtOnceOneGetsTheId() throws {
        try grade(Connections.self, "of clients that ask for one id at the same time, one gets it") { room in
            let zoe = try room.connect("Zoe", to: "/ws/0")
            try zoe.expect("Client 0 joined")
            let (open, refused) = try room.race(["Anna", "Ben", "Carla", "Dora"], to: "/ws/7")
            guard open.count == 1, refused.allSatisfy({ $0.status == 409 }) else {
                throw room.wrong(
                    "expected one open WebSocket and three refusals with 409",
                    "     got \(open.count) open, and the refusals \(refused.map(\.status))",
                    hint: "to look and to take must be one call of the actor: in between, others look too")
            }
            try zoe.expect("Client 7 joined")
            try open[0].expect("Client 7 joined")
            try open[0].send("it is me")
            try hinting(ifGot: "text \"Client 7 left\"", refusedOneLeft) {
                try zoe.expect("Client 7: it is me")
            }
        }
    }

    func testAClientThatVanishesBeforeAcceptIsNotAnnounced() throws {
        try grade(
            Connections.self,
            "a client that vanishes before it is accepted is not announced, and its id stays free",
            prepare: { $0.letClientsVanish() }
        ) { room in
            let anna = try room.enter("Anna", 1)
            try anna.expect("Client 1 joined")
            try room.vanish("Eve", at: "/ws/5")
            try anna.send("fence")
            try hinting(
                ifGot: "text \"Client 5 left\"",
                "who has not joined cannot leave: in leave(), announce only if there was a socket to remove"
            ) {
                try anna.expect(
                    "Client 1: fence", "accept() throws when the client is gone: announce after it")
            }
            let ben = try room.connect(
                "Ben", to: "/ws/5", "an id set aside must be given back when accept() throws")
            try ben.expect("Client 5 joined")
            try anna.expect("Client 5 joined")
        }
    }

    func testADeadClientStopsNobody() throws {
        try grade(Connections.self, "while some are being cut off, all others still hear everything") {
            room in
            let clients = try room.gather(1, 2, 3, 4, 5, 6)
            // The dead are still in the manager's list when it is asked to broadcast.
            try room.simultaneously {
                try clients[0].send("one")
                clients[1].drop()
                try clients[2].send("two")
                clients[3].drop(reset: true)
            }
            let hint =
                "a send to a client that is gone throws: that must neither keep the others from hearing nor end the "
                + "handler of the one who spoke"
            for client in [clients[0], clients[2], clients[4], clients[5]] {
                try client.expectInAnyOrder(
                    ["Client 1: one", "Client 3: two", "Client 2 left", "Client 4 left"], hint)
            }
            try clients[0].send("fence")
            for client in [clients[0], clients[2], clients[4], clients[5]] {
                try client.expect("Client 1: fence", hint)
            }
        }
    }

    func testADeadRecipientDoesNotHarmTheSender() throws {
        try grade(Connections.self, "who writes to a client that is just being cut off stays connected") {
            room in
            let clients = try room.gather(1, 2)
            try room.simultaneously {
                try clients[0].send("/to 2 are you there?")
                clients[1].drop()
            }
            try clients[0].send("fence")
            // The message may have been too late, or just in time; either is right.
            var heard: [String] = []
            while heard.last != "Client 1: fence" {
                try hinting(
                    ifGot: "close",
                    "client 1 spoke to one who is going, and lost its own connection: an error at the recipient's "
                        + "socket must not be thrown in the sender's handler"
                ) {
                    heard.append(try clients[0].receiveText())
                }
            }
            if Set(heard).subtracting(["Client 2 left", "Client 2 is not here"]) != ["Client 1: fence"] {
                throw room.wrong("client 1 has heard \(heard)", hint: "nobody said anything else")
            }
        }
    }

    func testAHundredComeAndGo() throws {
        try grade(
            Connections.self, "of 100 clients that come and go at once none is lost or doubled", loops: 2
        ) { room in
            let zoe = try room.connect("Zoe", to: "/ws/0")
            try zoe.expect("Client 0 joined")
            let crowd = try room.connectSimultaneously((1...100).map { ("Client \($0)", "/ws/\($0)") })
            try zoe.expectInAnyOrder((1...100).map { "Client \($0) joined" })
            let hint = "a list that is read before an await and written after it loses whoever came meanwhile"
            for id in 1...100 { try zoe.send("/to \(id) here?") }
            try zoe.send("all here")
            try zoe.expect("Client 0: all here", hint)
            for client in crowd {
                var heard: [String] = []
                while heard.last != "Client 0: all here" { heard.append(try client.receiveText()) }
                if !heard.contains("Client 0 (only you): here?") || Set(heard).count != heard.count {
                    throw room.wrong("\(client.name) has heard \(heard)", hint: hint)
                }
            }
            try room.simultaneously {
                for (number, client) in crowd.enumerated() { client.drop(reset: number % 2 == 0) }
            }
            try zoe.expectInAnyOrder((1...100).map { "Client \($0) left" })
            try zoe.send("alone")
            try zoe.expect("Client 0: alone")
        }
    }
}

private let refusedOneLeft =
    "the refused client gave away an id that it had not taken: call leave() only after reserve() was true"

private let toldAndNotClosed = "whoever makes a mistake is told so, and stays connected"

private let forOneAlone = "a private message is for one alone: not even its sender gets a copy"

private let leftTwice =
    "one leave is told once, even if two places in your code notice it: tell it only if there was a socket to remove"

extension Classroom {
    /// Connects a client whose id nobody else has.
    fileprivate func enter(_ name: String, _ id: Int) throws -> Client {
        try hinting(
            ifGot: "HTTP status 409", "until reserve() is written, every client is refused: begin with step 1"
        ) { try connect(name, to: "/ws/\(id)") }
    }

    /// Connects clients with these ids, one after the other, and has everyone hear all the joins.
    fileprivate func gather(_ ids: Int...) throws -> [Client] {
        var clients: [Client] = []
        for id in ids {
            clients.append(try enter("Client \(id)", id))
            for client in clients { try client.expect("Client \(id) joined") }
        }
        return clients
    }
}
