import GraderKit
import Level06
import WebSocketEngine
import XCTest

/// Level 06 – Authentication. Chapter 6 of Course.md.
final class Level06Tests: XCTestCase {
    func testAValidTokenInTheQueryIsWelcomed() throws {
        try check("a valid token in the query is welcomed on /ws/auth") { room in
            let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token("7", room))")
            try expectWelcome(ana, "7", "user_id is the token's sub")
        }
    }

    func testAValidTokenInTheHeaderIsWelcomed() throws {
        try check("a valid token in the header Authorization is welcomed too") { room in
            let ana = try connect(
                room, "Ana", to: "/ws/auth", headers: ["Authorization": "Bearer \(token("7", room))"])
            try expectWelcome(ana, "7", "request.headers[\"Authorization\"] is \"Bearer JWT\"")
        }
    }

    func testMessagesCarryTheNameInTheToken() throws {
        try check("each text comes back with the user_id of the sender's token") { room in
            let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token("ana", room))")
            let ben = try connect(
                room, "Ben", to: "/ws/protected/lab?token=\(token("ben", room, rooms: ["lab"]))")
            try expectWelcome(ana, "ana")
            try expectWelcome(ben, "ben")
            for text in ["hi", "", #"{"user_id":"root"}"#] {
                try ana.send(text)
                try ana.expect(
                    json: ["user_id": "ana", "message": .string(text)], "only the token says who somebody is")
            }
            try ben.send("hello")
            try ben.expect(json: ["user_id": "ben", "message": "hello"])
        }
    }

    func testWithoutATokenTheCloseIs4001MissingToken() throws {
        try check("without a token the connection opens, and closes with 4001 Missing token") { room in
            let hint =
                "nothing is said before the check; a browser can read the code only if the handshake succeeds"
            for path in ["/ws/auth", "/ws/auth?token=", "/ws/auth?room=lab", "/ws/protected/lab"] {
                let eve = try connect(room, "Eve", to: path, hint)
                try eve.expectClose(4001, reason: "Missing token", hint)
            }
            let ben = try connect(
                room, "Ben", to: "/ws/auth", headers: ["Authorization": "Basic YmVuOnNlY3JldA=="])
            try ben.expectClose(4001, reason: "Missing token", "a scheme other than Bearer brings no token")
        }
    }

    func testWhatIsNoTokenIsInvalid() throws {
        try check("what is not three parts of base64url with JSON in them is Invalid token") { room in
            let good = token("7", room)
            let tokens = [
                Token("x"), Token("..."), Token("a.b.c"), Token("\(good)."), Token(".\(good)"),
                Token(good.parts[0] + "." + good.parts[1]), good.replacing(part: 2, with: "!!!"),
                signed("no JSON"), signed("[]"), Token(header: "HS256", claims: claims("7", room), key: key),
            ]
            for token in tokens {
                try expectInvalid(token, room, "whatever does not decode is Invalid token")
            }
        }
    }

    func testAForgedTokenIsInvalid() throws {
        try check("a signature that does not fit header and claims is Invalid token") { room in
            let good = token("7", room)
            let code = Token.signature(of: Array(good.parts[..<2]), key)
            var flipped = code
            flipped[31] ^= 1
            let forgeries: [(Token, String)] = [
                (
                    good.replacing(part: 1, with: token("8", room).parts[1]),
                    "the signature belongs to other claims"
                ),
                (
                    Token(claims: claims("7", room), key: "another key"),
                    "the token was signed with another key"
                ),
                (good.replacing(part: 2, with: ""), "a token without a signature proves nothing"),
                (
                    good.replacing(part: 2, with: Token.base64URL(flipped)),
                    "compare all bytes, to the last one"
                ),
                (
                    good.replacing(part: 2, with: Token.base64URL(Array(code.prefix(3)))),
                    "compare the lengths too"
                ),
                (good.replacing(part: 2, with: Token.base64URL(code + [0])), "compare the lengths too"),
            ]
            for (forgery, hint) in forgeries {
                try expectInvalid(forgery, room, hint)
            }
        }
    }

    func testTheHeaderDoesNotChooseTheAlgorithm() throws {
        try check("a token whose alg is not HS256, or with a crit, is Invalid token") { room in
            let none = Token(header: #"{"alg":"none"}"#, claims: claims("7", room), key: key)
            let hint = "the server decides what it accepts, not the token: alg must be HS256, exactly"
            for token in [none, none.replacing(part: 2, with: "")] {
                try expectInvalid(token, room, hint)
            }
            for header in [
                #"{"alg":"HS512"}"#, #"{"alg":"hs256"}"#, #"{"typ":"JWT"}"#, #"{"alg":["HS256"]}"#,
            ] {
                let token = Token(header: header, claims: claims("7", room), key: key)
                try expectInvalid(token, room, hint)
            }
            let critical = Token(
                header: #"{"alg":"HS256","crit":["x"],"x":1}"#, claims: claims("7", room), key: key)
            try expectInvalid(critical, room, "crit demands what this server does not understand")
        }
    }

    func testClaimsMustBeThereAndHaveTheirType() throws {
        try check("a token whose claims are missing or of another type is Invalid token") { room in
            let soon = JSONValue.number(room.clock.secondsSince1970 + 60)
            let claims: [JSONValue] = [
                ["sub": "7"], ["sub": "7", "exp": "tomorrow"], ["exp": soon], ["sub": 7, "exp": soon],
                ["sub": "7", "exp": soon, "nbf": "today"], ["sub": "7", "exp": soon, "rooms": "lab"],
            ]
            for claims in claims {
                try expectInvalid(signed(claims.text), room, "a key may sign nonsense: check what you read")
            }
        }
    }

    func testATokenExpiresByTheApplicationsClock() throws {
        try check("from exp on, by the application's clock, a token is Expired token") { room in
            let token = token("7", room, validFor: 60.5)
            let early = try connect(room, "Ana", to: "/ws/auth?token=\(token)")
            try expectWelcome(early, "7", "the token is still valid: ask clock.secondsSince1970")
            try room.advance(by: .seconds(60))
            let justInTime = try connect(room, "Ben", to: "/ws/auth?token=\(token)")
            try justInTime.expect(json: ["type": "welcome"], "exp may have a fraction: read it as Double")
            try room.advance(by: .milliseconds(500))
            for path in ["/ws/auth", "/ws/protected/lab"] {
                let late = try connect(room, "Eve", to: "\(path)?token=\(token)")
                try late.expectClose(
                    4001, reason: "Expired token", "at exp itself the token is no longer valid")
            }
        }
    }

    func testATokenIsInvalidBeforeItsTime() throws {
        try check("before nbf a token is Invalid token; at nbf it is valid") { room in
            let token = token(
                "7", room, validFor: 120, more: ["nbf": .number(room.clock.secondsSince1970 + 60)])
            let early = try connect(room, "Eve", to: "/ws/auth?token=\(token)")
            try early.expectClose(4001, reason: "Invalid token", "nbf is \"not before\" (RFC 7519 §4.1.5)")
            try room.advance(by: .seconds(60))
            let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token)")
            try ana.expect(json: ["type": "welcome", "user_id": "7"], "at nbf itself the token is valid")
        }
    }

    func testTheSignatureIsCheckedFirst() throws {
        try check("a forged token is Invalid token, whatever it claims") { room in
            let expired: JSONValue = ["sub": "7", "exp": .number(room.clock.secondsSince1970 - 1)]
            let forged = Token(claims: expired, key: "another key")
            for path in ["/ws/auth", "/ws/protected/lab"] {
                let eve = try connect(room, "Eve", to: "\(path)?token=\(forged)")
                try eve.expectClose(
                    4001, reason: "Invalid token", "who says Expired has believed claims that nobody signed")
            }
            let other = Token(claims: claims("7", room), key: "another key")
            let eve = try connect(room, "Eve", to: "/ws/protected/lab?token=\(other)")
            try eve.expectClose(4001, reason: "Invalid token", "first who it is, then what that one may do")
        }
    }

    func testEveryWayToWriteATokenIsRead() throws {
        try check("a signed token is valid however its JSON is written") { room in
            let exp = Int(room.clock.secondsSince1970) + 60
            for sub in ["7", "77", "777", "Zoë ~~~ ???", "日本語 ÿÿÿ"] {
                let claims = #"{ "iat" : 1,\#n  "admin":null, "exp":\#(exp), "sub":"\#(sub)" }"#
                let token = Token(header: #"{ "kid":"1", "alg":"HS256" }"#, claims: claims, key: key)
                let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token)")
                try ana.expect(
                    json: ["type": "welcome", "user_id": .string(sub)],
                    "check the signature of the parts as they came; base64url has - and _ and no =")
            }
        }
    }

    func testProtectedRoomsNeedTheClaim() throws {
        try check("a room that the token does not list is closed with 4003 Access denied") { room in
            let token = token("7", room, rooms: ["lab", "the office"])
            for path in ["/ws/protected/lab", "/ws/protected/the%20office"] {
                let ana = try connect(room, "Ana", to: "\(path)?token=\(token)")
                try expectWelcome(ana, "7")
            }
            for name in ["attic", "la", "Lab", "office", "lab,the%20office"] {
                let ana = try connect(room, "Ana", to: "/ws/protected/\(name)?token=\(token)")
                try ana.expectClose(
                    4003, reason: "Access denied", "the room's whole name must be in the list")
            }
            let ben = try connect(room, "Ben", to: "/ws/protected/lab?token=\(self.token("8", room))")
            try ben.expectClose(4003, reason: "Access denied", "a token without rooms lists none")
        }
    }

    func testATokenFromLoginIsValidForAnHour() throws {
        try check("a token from GET /login/{user} is valid for an hour") { room in
            let token = try room.get("/login/ana?rooms=lab,office").json?["token"]?.string ?? "none"
            try room.advance(by: .seconds(3599))
            for path in ["/ws/auth", "/ws/protected/office"] {
                let ana = try connect(room, "Ana", to: "\(path)?token=\(token)")
                try expectWelcome(ana, "ana", "log in and check agree on key and claims")
            }
            try room.advance(by: .seconds(1))
            let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token)")
            try ana.expectClose(4001, reason: "Expired token")
        }
    }

    // MARK: - What the checks have in common

    /// The key of the stub.
    private let key = "a course is no place for real secrets"

    /// A check in which time stands still.
    private func check(_ rule: String, _ script: (Classroom) throws -> Void) throws {
        try grade(Authentication.self, rule, prepare: { $0.clock.useManualTime() }, script)
    }

    /// Claims that are valid for a minute.
    private func claims(_ user: JSONValue, _ room: Classroom) -> JSONValue {
        ["sub": user, "exp": .number(room.clock.secondsSince1970 + 60)]
    }

    /// A client whose handshake succeeds, as it does in every case.
    private func connect(
        _ room: Classroom, _ name: String, to path: String, headers: [String: String] = [:],
        _ hint: String = "the handshake succeeds in every case: throw the exception before accept()"
    ) throws -> Client {
        try room.connect(name, to: path, headers: headers, hint)
    }

    /// The client of a valid token is welcomed by its name.
    private func expectWelcome(_ client: Client, _ user: String, _ hint: String = "") throws {
        let notSeenAsValid =
            "this token is valid: is the padding back, are - and _ translated, and do you sign the two parts as they "
            + "came?"
        try hinting(ifGot: #"close 4001 "Invalid token""#, notSeenAsValid) {
            try hinting(
                ifGot: #"close 4001 "Expired token""#, "ask the application's clock, not Date()"
            ) {
                try client.expect(json: ["type": "welcome", "user_id": .string(user)], hint)
            }
        }
    }

    private func expectInvalid(_ token: Token, _ room: Classroom, _ hint: String) throws {
        let eve = try connect(room, "Eve", to: "/ws/auth?token=\(token)")
        try eve.expectClose(4001, reason: "Invalid token", hint)
    }

    private func signed(_ claims: String) -> Token { Token(claims: claims, key: key) }

    /// A token as it should be.
    private func token(
        _ user: String, _ room: Classroom, rooms: [JSONValue]? = nil, validFor seconds: Double = 60,
        more: [String: JSONValue] = [:]
    ) -> Token {
        var claims = more
        claims["sub"] = .string(user)
        claims["exp"] = .number(room.clock.secondsSince1970 + seconds)
        if let rooms { claims["rooms"] = .array(rooms) }
        return Token(claims: .object(claims), key: key)
    }
}
