const utf8 = new TextEncoder()

/** Writes protobuf. Fields at their default are left to the caller: the generated code does not write them. */
export class Writer {
  readonly #chunks: Uint8Array[] = []

  string(field: number, value: string): void {
    this.bytes(field, utf8.encode(value))
  }

  bytes(field: number, value: Uint8Array): void {
    this.#tag(field, 2)
    this.#varint(BigInt(value.length))
    this.#chunks.push(value)
  }

  bool(field: number, value: boolean): void {
    this.#tag(field, 0)
    this.#varint(value ? 1n : 0n)
  }

  /** An int32 or the number of an enum value. */
  int32(field: number, value: number): void {
    this.#tag(field, 0)
    this.#varint(BigInt.asUintN(64, BigInt(value)))
  }

  double(field: number, value: number): void {
    this.#tag(field, 1)
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, value, true)
    this.#chunks.push(bytes)
  }

  /** An embedded message, written by its own function. */
  message<T>(field: number, value: T, write: (writer: Writer, value: T) => void): void {
    const inner = new Writer()
    write(inner, value)
    this.bytes(field, inner.finish())
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#chunks)
  }

  #tag(field: number, wireType: number): void {
    this.#varint(BigInt((field << 3) | wireType))
  }

  #varint(value: bigint): void {
    const bytes: number[] = []
    let rest = value
    for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
    bytes.push(Number(rest))
    this.#chunks.push(Uint8Array.from(bytes))
  }
}
