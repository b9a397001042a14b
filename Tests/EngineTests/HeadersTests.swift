import XCTest

@testable import WebSocketEngine

final class HeadersTests: XCTestCase {
    func testNamesAreComparedWithoutCase() {
        let headers: Headers = ["Content-Type": "text/plain"]
        XCTAssertEqual(headers["content-type"], "text/plain")
        XCTAssertEqual(headers["CONTENT-TYPE"], "text/plain")
        XCTAssertNil(headers["Content-Typ"])
        XCTAssertNil(headers["Content_Type"])
    }

    func testOnlyLettersHaveACase() {
        // 0x5E and 0x7E differ by the same bit as A and a.
        XCTAssertNil((["X^": "1"] as Headers)["X~"])
        XCTAssertNil((["K": "1"] as Headers)["\u{212A}"])
    }

    func testRepeatedFieldsAreJoined() {
        var headers = Headers()
        headers.add("Via", "a")
        headers.add("Host", "example.com")
        headers.add("via", "b")
        XCTAssertEqual(headers["Via"], "a, b")
        XCTAssertEqual(headers.values(for: "VIA"), ["a", "b"])
        XCTAssertEqual(headers.values(for: "none"), [])
        XCTAssertEqual(headers.count(of: "via"), 2)
    }

    func testSettingReplacesAllFieldsOfTheNameInPlace() {
        var headers: Headers = ["A": "1", "B": "2", "a": "3", "C": "4"]
        headers["a"] = "5"
        XCTAssertEqual(headers.map(\.name), ["a", "B", "C"])
        XCTAssertEqual(headers.map(\.value), ["5", "2", "4"])
        headers["D"] = "6"
        XCTAssertEqual(headers.map(\.name), ["a", "B", "C", "D"])
    }

    func testSettingNilRemovesAllFieldsOfTheName() {
        var headers: Headers = ["A": "1", "B": "2", "a": "3"]
        headers["A"] = nil
        headers["none"] = nil
        XCTAssertEqual(headers.map(\.name), ["B"])
    }

    func testEqualityIgnoresTheCaseOfNamesAlone() {
        XCTAssertEqual(["A": "x"] as Headers, ["a": "x"])
        XCTAssertNotEqual(["A": "x"] as Headers, ["A": "X"])
        XCTAssertNotEqual(["A": "x"] as Headers, ["A": "x", "B": "y"])
    }

    func testTokensOfAList() {
        for value in ["Upgrade", "upgrade", "keep-alive, Upgrade", "a,Upgrade", "Upgrade ,\tx", ",,UPGRADE,"]
        {
            XCTAssertTrue((["Connection": value] as Headers).hasToken("upgrade", in: "connection"), value)
        }
        for value in ["", "upgrades", "no-upgrade", "up grade", "keep-alive", "keep-alive; upgrade"] {
            XCTAssertFalse((["Connection": value] as Headers).hasToken("upgrade", in: "connection"), value)
        }
        XCTAssertFalse((["Upgrade": "upgrade"] as Headers).hasToken("upgrade", in: "connection"))
    }

    func testATokenInTheSecondOfTwoFields() {
        let headers: Headers = ["Connection": "keep-alive", "connection": "Upgrade"]
        XCTAssertTrue(headers.hasToken("upgrade", in: "Connection"))
    }

    func testFieldsThatCouldNotBeSent() {
        XCTAssertTrue(Headers.isValid(name: "X-Request-ID", value: "a b\tc \"é\" 日本"))
        XCTAssertTrue(Headers.isValid(name: "X", value: ""))
        for name in ["", "X Y", "X:", "X\r\nSet-Cookie", "Ü", "X\0", "X\t", "(X)"] {
            XCTAssertFalse(Headers.isValid(name: name, value: "v"), name)
        }
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "\r\n", "\u{7F}", "\u{1B}[31m"] {
            XCTAssertFalse(Headers.isValid(name: "X", value: value), value)
        }
    }

    func testEveryTokenCharacter() {
        let expected = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        XCTAssertEqual(Set((UInt8.min ... .max).filter(\.isTokenCharacter)), Set(expected.utf8))
    }
}

final class PercentDecodingTests: XCTestCase {
    func testEncodedBytesAreDecoded() {
        XCTAssertEqual(percentDecoded(""), "")
        XCTAssertEqual(percentDecoded("plain"), "plain")
        XCTAssertEqual(percentDecoded("a%20b"), "a b")
        XCTAssertEqual(percentDecoded("%2f%2F%25"), "//%")
        XCTAssertEqual(percentDecoded("caf%C3%A9%20%f0%9f%91%8b"), "café 👋")
    }

    func testAPlusIsAPlus() {
        XCTAssertEqual(percentDecoded("a+b"), "a+b")
    }

    func testDecodingHappensOnce() {
        XCTAssertEqual(percentDecoded("%2541"), "%41")
    }

    func testMalformedText() {
        for text in ["%", "a%", "%4", "%4g", "%g4", "%%41", "% 41", "%+1", "%-1"] {
            XCTAssertNil(percentDecoded(text[...]), text)
        }
    }

    func testBytesThatAreNotUTF8() {
        for text in ["%FF", "%C3", "%C0%AF", "%ED%A0%80", "a%C3b"] {
            XCTAssertNil(percentDecoded(text[...]), text)
        }
    }
}

final class QueryParametersTests: XCTestCase {
    func testParametersInOrder() {
        let query = QueryParameters("a=1&b=%20x&flag&c=")
        XCTAssertEqual(query.map(\.name), ["a", "b", "flag", "c"])
        XCTAssertEqual(query.map(\.value), ["1", " x", "", ""])
    }

    func testLookingUp() {
        let query = QueryParameters("a=1&A=2&a=3")
        XCTAssertEqual(query["a"], "1")
        XCTAssertEqual(query["A"], "2")
        XCTAssertEqual(query.values(for: "a"), ["1", "3"])
        XCTAssertNil(query["b"])
        XCTAssertEqual(query.values(for: "b"), [])
    }

    func testNothingBetweenAmpersands() {
        XCTAssertEqual(QueryParameters("").map(\.name), [])
        XCTAssertEqual(QueryParameters("&&a=1&&").map(\.name), ["a"])
    }

    func testAPlusIsASpace() {
        let query = QueryParameters("first+name=Ann+Lee&sum=1%2B1")
        XCTAssertEqual(query["first name"], "Ann Lee")
        XCTAssertEqual(query["sum"], "1+1")
    }

    func testOnlyTheFirstEqualsSeparates() {
        XCTAssertEqual(QueryParameters("token=YWJj==")["token"], "YWJj==")
        XCTAssertEqual(QueryParameters("=x")[""], "x")
    }

    func testEncodedSeparatorsDoNotSeparate() {
        let query = QueryParameters("a%3Db=c%26d")
        XCTAssertEqual(query["a=b"], "c&d")
    }

    func testWhatCannotBeDecodedStaysAsItWasSent() {
        let query = QueryParameters("a=100%&b=%FF&c=ok")
        XCTAssertEqual(query["a"], "100%")
        XCTAssertEqual(query["b"], "%FF")
        XCTAssertEqual(query["c"], "ok")
    }
}
