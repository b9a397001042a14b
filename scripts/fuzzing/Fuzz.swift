// What scripts/fuzz runs: it is compiled together with the protocol's sources and Tests/EngineTests/
// ProtocolProperties.swift into one module, with FUZZING set.

/// libFuzzer calls this with one input after the other, made by mutation towards code that was not reached before.
/// A broken property is a crash, which libFuzzer reports together with the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> Int32 {
    let input = Array(UnsafeBufferPointer(start: start, count: count))
    if let fault = ProtocolProperties.fault(in: input) { fatalError(fault) }
    return 0
}

#if GENERATOR
    #if canImport(Darwin)
        import Darwin
    #else
        import Glibc
    #endif
    import Synchronization

    /// Told to end, the generator still says how many inputs it has tried.
    private let isStopped = Atomic(false)

    /// Where the toolchain has no libFuzzer: inputs by a seeded generator, changed and joined from what came before.
    ///
    ///     Fuzz COUNT SECONDS SEED
    @main
    enum Generator {
        static func main() {
            let arguments = CommandLine.arguments.dropFirst().compactMap { UInt64($0) }
            guard arguments.count == 3 else { fatalError("usage: Fuzz COUNT SECONDS SEED") }
            var random = Random(state: arguments[2])
            var kept = [[UInt8]](repeating: [], count: 64)
            let clock = ContinuousClock()
            let deadline = clock.now + .seconds(Int64(clamping: arguments[1]))
            var inputs: UInt64 = 0
            signal(SIGTERM) { _ in isStopped.store(true, ordering: .relaxed) }
            while inputs < arguments[0], clock.now < deadline, !isStopped.load(ordering: .relaxed) {
                for _ in 0..<min(256, arguments[0] - inputs) {
                    let input = random.input(from: kept)
                    if let fault = ProtocolProperties.fault(in: input) {
                        let hexadecimal = input.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
                        fatalError("\(fault)\ninput \(hexadecimal.joined())")
                    }
                    kept[Int(random.next() % 64)] = input
                    inputs += 1
                }
            }
            print("\(inputs) inputs")
        }
    }

    /// SplitMix64: the same inputs for the same seed.
    private struct Random: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var word = state
            word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
            word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
            return word ^ word >> 31
        }

        mutating func input(from kept: [[UInt8]]) -> [UInt8] {
            var input = next() % 4 == 0 ? [] : kept[Int(next() % 64)]
            if next() % 4 == 0 { input += kept[Int(next() % 64)].dropFirst(2) }
            for _ in 0...next() % 8 {
                let byte = UInt8(truncatingIfNeeded: next())
                let place = Int(next() % UInt64(input.count + 1))
                switch next() % 4 {
                case 0 where place < input.count: input[place] = byte
                case 1 where place < input.count: input.remove(at: place)
                default: input.insert(byte, at: place)
                }
            }
            return Array(input.prefix(256))
        }
    }
#endif
