"""A score that counts how often it is asked, which is the cost of sampling."""


class CountedScore:
    """A score, and in `evaluations` the calls so far; a call scores a whole batch."""

    def __init__(self, score):
        self.score, self.evaluations = score, 0

    def __call__(self, x, sigma):
        self.evaluations += 1
        return self.score(x, sigma)
