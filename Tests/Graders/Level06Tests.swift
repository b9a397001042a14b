import GraderKit
import Level06
import WebSocketEngine
import XCTest

/// Level 06 – Authentication. Chapter 6 of Course.md.
final class Level06Tests: XCTestCase {
    func testAValidTokenInTheQueryIsWelcomed() throws {
        try check("a valid token in the query is welcomed on /ws/auth") { room in
            let ana = try connect(room, "Ana", to: "/ws/auth?token=\(token("7", room))")
            try hinting(
                ifGot: #"close 4001 "Missing token""#,
                "the token is in the query, where a page in a browser must put it: it cannot set a header"
            ) {
                try expectWelcome(ana, "7", "user_id is the token's sub")
            }
        }
    }

    func testAValidTokenInTheHeaderIsWelcomed() throws {
        try check("a valid token in the header Authorization is welcomed too") { room in
            let ana = try connect(
                room, "Ana", to: "/ws/auth", headers: ["Authorization": "Bearer \(token("7", room))"])
            try hinting(
                ifGot: #"close 4001 "Missing token""#,
                "a program brings its token in the header Authorization: look there if the query has none"
            ) {
                try expectWelcome(
                    ana, "7", "user_id is the token's sub",
                    ifInvalid:
                        "if a token in the query is welcomed: in the header the word Bearer and a space "
                        + "stand before it, which are not part of the token")
            }
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
                try hinting(
                    "this is Ben's name, on Ana's connection: keep each user with the connection, as what all "
                        + "share is overwritten by whoever comes last",
                    {
                        try ana.expect(
                            json: ["user_id": "ana", "message": .string(text)],
                            "only the token says who somebody is: what a message says nobody has signed")
                    }, when: { $0.contains { $0.contains("got") && $0.contains(#""user_id":"ben""#) } })
            }
            try ben.send("hello")
            try ben.expect(json: ["user_id": "ben", "message": "hello"])
        }
    }

    func testWithoutATokenTheCloseIs4001MissingToken() throws {
        try check("without a token the connection opens, and closes with 4001 Missing token") { room in
            for path in ["/ws/auth", "/ws/auth?token=", "/ws/auth?room=lab", "/ws/protected/lab"] {
                let eve = try connect(
                    room, "Eve", to: path,
                    "a page in a browser can read why it is not let in only if the handshake succeeds: throw the "
                        + "exception in place of refusing")
                try hinting(
                    ifGot: "close", "no token or an empty one: throw missingToken, as Tokens.swift has it"
                ) {
                    try eve.expectClose(4001, reason: "Missing token", "nothing is sent before the check")
                }
            }
            let ben = try connect(
                room, "Ben", to: "/ws/auth", headers: ["Authorization": "Basic YmVuOnNlY3JldA=="])
            try ben.expectClose(4001, reason: "Missing token", "a scheme other than Bearer brings no token")
        }
    }

    func testWhatIsNoTokenIsInvalid() throws {
        try check("what is not three parts of base64url with JSON in them is Invalid token") { room in
            let good = token("7", room)
            let four =
                "here are four parts, one of them empty: there must be exactly three, and split() leaves out empty "
                + "parts unless told not to"
            let tokens = [
                (Token("x"), "one part is no token"),
                (Token("..."), "there are four parts, all of them empty"),
                (Token("a.b.c"), "three letters are no token: whatever does not decode is invalid"),
                (Token("\(good)."), four), (Token(".\(good)"), four),
                (Token(good.parts[0] + "." + good.parts[1]), "the third part, the signature, is missing"),
                (good.replacing(part: 2, with: "!!!"), "the third part is not base64url"),
                (signed("no JSON"), "the claims of this token are signed, but they are no JSON"),
                (signed("[]"), "the claims of this token are signed, but they are an empty list"),
                (
                    Token(header: "HS256", claims: claims("7", room), key: key),
                    "the header of this token is no JSON"
                ),
            ]
            for (token, hint) in tokens {
                try hinting(
                    ifCrashed:
                        "a token comes from a stranger and may be anything: count its parts before you take "
                        + "one out, and do not unwrap with !"
                ) { try expectInvalid(token, room, hint) }
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
                    "Eve has changed the claims and kept the signature: that they can be decoded proves nothing; "
                        + "compare the signature, and say nothing before"
                ),
                (
                    Token(claims: claims("7", room), key: "another key"),
                    "the token was signed with another key"
                ),
                (
                    good.replacing(part: 2, with: ""),
                    "the signature is empty: a comparison that ends with the shorter side finds no difference"
                ),
                (
                    good.replacing(part: 2, with: Token.base64URL(flipped)),
                    "only the last bit of the signature is wrong: compare all bytes, to the last one"
                ),
                (
                    good.replacing(part: 2, with: Token.base64URL(Array(code.prefix(3)))),
                    "these are only the first 3 bytes of the signature, which are soon guessed: compare the lengths too"
                ),
                (
                    good.replacing(part: 2, with: Token.base64URL(code + [0])),
                    "the signature has a byte too many"
                ),
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
                try expectInvalid(token, room, #"the header of this token is {"alg":"none"}: "# + hint)
            }
            for header in [
                #"{"alg":"HS512"}"#, #"{"alg":"hs256"}"#, #"{"typ":"JWT"}"#, #"{"alg":["HS256"]}"#,
            ] {
                let token = Token(header: header, claims: claims("7", room), key: key)
                try expectInvalid(token, room, "the header of this token is \(header): \(hint)")
            }
            let header = #"{"alg":"HS256","crit":["x"],"x":1}"#
            try expectInvalid(
                Token(header: header, claims: claims("7", room), key: key), room,
                "the header of this token is \(header): crit lists what a reader must understand or else refuse"
            )
        }
    }

    func testClaimsMustBeThereAndHaveTheirType() throws {
        try check("a token whose claims are missing or of another type is Invalid token") { room in
            let soon = JSONValue.number(room.clock.secondsSince1970 + 60)
            let claims: [(JSONValue, String)] = [
                (["sub": "7"], "without exp it would be valid for ever"),
                (["sub": "7", "exp": "tomorrow"], "exp must be a number"),
                (["exp": soon], "there is no sub"), (["sub": 7, "exp": soon], "sub must be text"),
                (["sub": "7", "exp": soon, "nbf": "today"], "nbf must be a number"),
                (["sub": "7", "exp": soon, "rooms": "lab"], "rooms must be a list"),
            ]
            for (claims, why) in claims {
                let signed = "the claims are \(claims.text), signed with the right key: \(why)"
                try hinting(
                    ifGot: #"close 4001 "Expired token""#,
                    signed + "; expired is only what was valid once, and what cannot be read is invalid"
                ) { try expectInvalid(self.signed(claims.text), room, signed) }
            }
        }
    }

    func testATokenExpiresByTheApplicationsClock() throws {
        try check("from exp on, by the application's clock, a token is Expired token") { room in
            let token = token("7", room, validFor: 60.5)
            let early = try connect(room, "Ana", to: "/ws/auth?token=\(token)")
            try expectWelcome(
                early, "7", "the token is still valid: ask clock.secondsSince1970",
                ifInvalid:
                    "if other valid tokens are welcomed: the exp of this one has a fraction (.5), so read it "
                    + "as Double")
            try room.advance(by: .seconds(60))
            let justInTime = try connect(room, "Ben", to: "/ws/auth?token=\(token)")
            try justInTime.expect(json: ["type": "welcome"], "exp may have a fraction: read it as Double")
            try room.advance(by: .milliseconds(500))
            for path in ["/ws/auth", "/ws/protected/lab"] {
                let late = try connect(room, "Eve", to: "\(path)?token=\(token)")
                try hinting(
                    ifGot: #"close 4001 "Invalid token""#,
                    "this token was valid half a second ago: Expired tells its owner that a new one will help"
                ) {
                    try late.expectClose(
                        4001, reason: "Expired token",
                        "exp is now: at exp itself and ever after the token is no longer valid")
                }
            }
        }
    }

    func testATokenIsInvalidBeforeItsTime() throws {
        try check("before nbf a token is Invalid token; at nbf it is valid") { room in
            let token = token(
                "7", room, validFor: 120, more: ["nbf": .number(room.clock.secondsSince1970 + 60)])
            let early = try connect(room, "Eve", to: "/ws/auth?token=\(token)")
            try hinting(
                ifGot: #"close 4001 "Expired token""#, "too early is not too late: this one is Invalid"
            ) {
                try early.expectClose(
                    4001, reason: "Invalid token",
                    "the nbf of this token is a minute away, and means \"not before\" (RFC 7519 §4.1.5)")
            }
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
                    "this token is valid, though its JSON has spaces and other members. Sign the two parts as they "
                        + "came, not JSON written anew; and base64url has - and _ for + and /, and lacks the ="
                )
            }
        }
    }

    func testProtectedRoomsNeedTheClaim() throws {
        try check("a room that the token does not list is closed with 4003 Access denied") { room in
            let token = token("7", room, rooms: ["lab", "the office"])
            for path in ["/ws/protected/lab", "/ws/protected/the%20office"] {
                let ana = try connect(room, "Ana", to: "\(path)?token=\(token)")
                try expectWelcome(
                    ana, "7", #"the token's rooms are ["lab","the office"]: this one is among them"#)
            }
            for name in ["attic", "la", "Lab", "office", "lab,the%20office"] {
                let ana = try connect(room, "Ana", to: "/ws/protected/\(name)?token=\(token)")
                try hinting(
                    ifGot: "close 4001", "this client is known, and a new token will not help: that is 4003"
                ) {
                    try ana.expectClose(
                        4003, reason: "Access denied",
                        #"the token's rooms are ["lab","the office"]: the room's whole name must be one of them"#
                    )
                }
            }
            let ben = try connect(room, "Ben", to: "/ws/protected/lab?token=\(self.token("8", room))")
            try ben.expectClose(4003, reason: "Access denied", "this token has no rooms: it lists none")
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
            try ana.expectClose(4001, reason: "Expired token", "the log-in was an hour ago: exp is now")
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
        try hinting(
            ifGot: "HTTP status 500",
            "any other error than a WebSocketException, such as one of JSONDecoder's, becomes status 500: catch it and "
                + "throw invalidToken"
        ) { try room.connect(name, to: path, headers: headers, hint) }
    }

    /// The client of a valid token is welcomed by its name.
    private func expectWelcome(
        _ client: Client, _ user: String, _ hint: String = "",
        ifInvalid: String =
            "this token is valid: is the padding back, are - and _ translated, and do you sign the "
            + "two parts as they came, with the dot between them?"
    ) throws {
        try hinting(ifGot: #"close 4001 "Invalid token""#, ifInvalid) {
            try hinting(
                ifGot: #"close 4001 "Expired token""#,
                "the token is still valid: ask the application's clock, which the check moves, not Date()"
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
