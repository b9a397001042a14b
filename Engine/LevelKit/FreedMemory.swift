import CSystem

/// What becomes of memory that the program has freed.
enum FreedMemory {
    /// Keeps up to 8 MiB of it for each thread instead of returning it to the kernel.
    ///
    /// By default glibc returns all above 128 KiB, so that a server of large messages gets fresh pages from the kernel
    /// for each of them: an echo of 64 KiB costs twice as much CPU. To set one threshold keeps glibc from adapting the
    /// other, hence both: only what is longer than the longest message is mapped by itself.
    static func keep() {
        csystem_keep_freed_memory(8 << 20, 2 << 20)
    }
}
