;; Sums and copies in the shared memory of ranks that are threads: four f32 at once, each addition rounded to f32 as everywhere. Assembled by hand into sum-wasm.ts:
;; npx -p wabt wat2wasm --enable-threads src/comm/sum.wat -o - | base64 -w0
;; Addresses and lengths in bytes; lengths of `add` a multiple of 64. `out` may be `a` or `b`.
(module
  (import "scion" "memory" (memory 1 65536 shared))
  (func (export "add") (param $out i32) (param $a i32) (param $b i32) (param $bytes i32)
    (local $end i32)
    (if (i32.eqz (local.get $bytes)) (then (return)))
    (local.set $end (i32.add (local.get $out) (local.get $bytes)))
    (loop $more
      (v128.store (local.get $out) (f32x4.add (v128.load (local.get $a)) (v128.load (local.get $b))))
      (v128.store offset=16 (local.get $out) (f32x4.add (v128.load offset=16 (local.get $a)) (v128.load offset=16 (local.get $b))))
      (v128.store offset=32 (local.get $out) (f32x4.add (v128.load offset=32 (local.get $a)) (v128.load offset=32 (local.get $b))))
      (v128.store offset=48 (local.get $out) (f32x4.add (v128.load offset=48 (local.get $a)) (v128.load offset=48 (local.get $b))))
      (local.set $a (i32.add (local.get $a) (i32.const 64)))
      (local.set $b (i32.add (local.get $b) (i32.const 64)))
      (br_if $more (i32.ne (local.tee $out (i32.add (local.get $out) (i32.const 64))) (local.get $end)))))
  (func (export "copy") (param $to i32) (param $from i32) (param $bytes i32)
    (memory.copy (local.get $to) (local.get $from) (local.get $bytes))))
