"""Further engagements of the log with histories: those that X's released ranker predicts besides the ten."""

import numpy as np

from pipeline.simulator.impressions import Impressions
from pipeline.simulator.population import Day, Population, sigmoid
from pipeline.simulator.posts import Posts
from pipeline.simulator.rng import DAY_OFFSET, Array, Stream, generator

QUOTED = "recap.engagement.is_quoted"
LINK_OPENED = "recap.engagement.is_link_opened"
SHARED = "recap.engagement.is_shared"
SHARED_BY_DM = "recap.engagement.is_shared_by_dm"
LINK_COPIED = "recap.engagement.is_link_copied"
AUTHOR_FOLLOWED = "recap.engagement.is_author_followed"
PHOTO_EXPANDED = "recap.engagement.is_photo_expanded"
VIDEO_OPENED = "recap.engagement.is_video_opened"
QUOTED_CLICKED = "recap.engagement.is_quoted_post_clicked"
AUTHOR_MUTED = "recap.engagement.is_author_muted"
AUTHOR_BLOCKED = "recap.engagement.is_author_blocked"
ACTIONS = (
    QUOTED, LINK_OPENED, SHARED, SHARED_BY_DM, LINK_COPIED, AUTHOR_FOLLOWED, PHOTO_EXPANDED, VIDEO_OPENED,
    QUOTED_CLICKED, AUTHOR_MUTED, AUTHOR_BLOCKED,
)  # fmt: skip


def draw_actions(
    population: Population, day: Day, posts: Posts, shown: Impressions, examined: Array, block: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Labels (rows,) bool and true probabilities (rows,) of `ACTIONS`, each drawn independently of all others."""
    random = generator(population.parameters.seed, Stream.ACTIONS, day.number + DAY_OFFSET, block)
    truth = {name: examined * chance for name, chance in _chances(population, posts, shown).items()}
    return {name: random.random(len(examined)) < truth[name] for name in ACTIONS}, truth


def _chances(population: Population, posts: Posts, shown: Impressions) -> dict[str, Array]:
    """Probability of each action on an examined post; the intercepts give realistic rates."""
    post, relevance = shown.post, shown.relevance
    retweet, reply, negative = population.users.style[shown.user][:, [1, 2, 4]].T
    dislike = negative - 1.2 * shown.affinity + 0.5 * np.log1p(posts.toxicity[post])
    return {
        QUOTED: sigmoid(-7.2 + 0.8 * relevance + 0.5 * retweet + 0.5 * reply),
        LINK_OPENED: posts.has_link[post] * sigmoid(-3.0 + 0.6 * relevance),
        SHARED: sigmoid(-6.2 + 0.8 * relevance + 0.5 * retweet),
        SHARED_BY_DM: sigmoid(-6.8 + 0.8 * relevance + 0.5 * retweet),
        LINK_COPIED: sigmoid(-7.0 + 0.7 * relevance + 0.5 * retweet),
        AUTHOR_FOLLOWED: (1 - shown.follows) * sigmoid(-6.3 + 0.8 * relevance),
        PHOTO_EXPANDED: posts.has_image[post] * sigmoid(-2.2 + 0.6 * relevance),
        VIDEO_OPENED: posts.has_video[post] * sigmoid(-2.0 + 0.6 * relevance),
        QUOTED_CLICKED: posts.is_quote[post] * sigmoid(-3.0 + 0.6 * relevance),
        AUTHOR_MUTED: sigmoid(-7.2 + dislike),
        AUTHOR_BLOCKED: sigmoid(-7.6 + dislike),
    }
