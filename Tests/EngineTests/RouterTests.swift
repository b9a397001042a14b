import XCTest

@testable import WebSocketEngine

final class RouterTests: XCTestCase {
    private func router(_ paths: String...) -> Router<String> {
        var router = Router<String>()
        for path in paths { router.add(path, path) }
        return router
    }

    func testLiteralsAndParameters() {
        let router = router("/", "/ws", "/ws/{room}", "/ws/{room}/{user}")
        XCTAssertEqual(router.match("/")?.handler, "/")
        XCTAssertEqual(router.match("/ws")?.handler, "/ws")
        XCTAssertEqual(router.match("/ws/lobby")?.parameters, ["room": "lobby"])
        XCTAssertEqual(router.match("/ws/lobby/ann")?.parameters, ["room": "lobby", "user": "ann"])
        XCTAssertNil(router.match("/WS"))
        XCTAssertNil(router.match("/ws/a/b/c"))
        XCTAssertNil(router.match("/wsx"))
        XCTAssertEqual(router.paths, ["/", "/ws", "/ws/{room}", "/ws/{room}/{user}"])
    }

    func testTheMoreSpecificRouteWinsWhateverTheOrder() {
        for router in [router("/{a}/b", "/ws/{b}", "/ws/x"), router("/ws/x", "/ws/{b}", "/{a}/b")] {
            XCTAssertEqual(router.match("/ws/x")?.handler, "/ws/x")
            XCTAssertEqual(router.match("/ws/b")?.handler, "/ws/{b}", "the earlier literal")
            XCTAssertEqual(router.match("/y/b")?.handler, "/{a}/b")
            XCTAssertNil(router.match("/y/c"))
        }
        XCTAssertEqual(router("/{a}", "/{b}").match("/x")?.parameters, ["a": "x"], "the first of equals")
    }

    func testPercentEncoding() {
        let router = router("/ws/{room}", "/grüße")
        XCTAssertEqual(router.match("/ws/a%20b")?.parameters, ["room": "a b"])
        XCTAssertEqual(router.match("/ws/a%2Fb")?.parameters, ["room": "a/b"], "a slash inside a name")
        XCTAssertEqual(router.match("/ws/+")?.parameters, ["room": "+"], "a space is no + in a path")
        XCTAssertEqual(router.match("/gr%C3%BC%C3%9Fe")?.handler, "/grüße")
        XCTAssertEqual(router.match("/%77s/x")?.parameters, ["room": "x"])
        XCTAssertNil(router.match("/ws/%"))
        XCTAssertNil(router.match("/ws/%FF"))
    }

    func testSlashesAtTheEndsDoNotCount() {
        let router = router("/ws/")
        for path in ["/ws", "/ws/", "//ws"] { XCTAssertEqual(router.match(path)?.handler, "/ws/", path) }
    }

    func testNoRoutes() {
        XCTAssertNil(Router<Int>().match("/"))
    }
}
