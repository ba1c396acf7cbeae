"""Properties of every public function, over drawn shapes, dtypes, noise levels and ladders; and what each refuses."""
