"""The published ranker's files, of any width: its configuration, the segdense schema, and records that fit it."""

import random
from pathlib import Path
from typing import Any

# ../shared/docs: score weight, positives kept, negatives kept, learning rate, ramp steps, drop-out.
TASKS: dict[str, tuple[float, float, float, float, int, float | None]] = {
    "is_favorited": (0.5, 0.8387, 0.01, 8e-4, 5000, None),
    "is_retweeted": (1.0, 0.9561, 0.004, 1e-4, 1000, None),
    "is_replied": (13.5, 1.0, 0.005, 1e-3, 1000, None),
    "is_profile_clicked_and_profile_engaged": (12.0, 1.0, 0.0015, 3e-4, 1000, None),
    "is_video_playback_50": (0.005, 1.0, 0.00427, 3e-3, 1000, None),
    "is_replied_reply_engaged_by_author": (75.0, 1.0, 0.001, 1e-4, 1000, None),
    "is_good_clicked_convo_desc_favorited_or_replied": (11.0, 0.9164, 0.00195, 1e-4, 2000, None),
    "is_good_clicked_convo_desc_v2": (10.0, 1.0, 0.00174, 2e-4, 1000, None),
    "is_negative_feedback_v2": (-74.0, 1.0, 0.00280, 5e-4, 5000, 0.1),
    "is_report_tweet_clicked": (-369.0, 1.0, 0.000014, 1e-4, 3000, 0.2),
}
PREFIX = "recap.engagement."
USER = "user.timelines.twhin_user_follow_embeddings.twhin_user_follow_embeddings"
RENAMED = {
    "continuous": "home_recap_2022_cont__segdense_vals",
    "binary": "home_recap_2022_binary__segdense_vals",
    "discrete": "home_recap_2022_discrete__segdense_vals",
    "user_embedding": USER,
    "user_eng_embedding": USER.replace("follow", "engagement"),
    "author_embedding": USER.replace("user", "author"),
    "meta__user_id": "meta.user_id",
    "meta__tweet_id": "meta.tweet_id",
    "meta__author_id": "meta.author_id",
}
LENGTHS = {"continuous": 6000, "binary": 512, "discrete": 320}
EMBEDDING = 200


def mlp(
    sizes: list[int], batch_norm: dict[str, Any] | None, dropout: float | None, final: bool
) -> dict[str, Any]:
    return {
        "layer_sizes": sizes,
        "batch_norm": batch_norm,
        "dropout": None if dropout is None else {"rate": dropout},
        "final_layer_activation": final,
    }


def ramp(rate: float, steps: int) -> dict[str, Any]:
    return {
        "constant": None,
        "linear_ramp_to_constant": {"learning_rate": rate, "num_ramp_steps": steps},
        "linear_ramp_to_cosine": None,
        "piecewise_constant": None,
    }


def architecture(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A task's or a backbone's section, with every field that the published class has."""
    kinds = ("mlp_config", "dcn_config", "dlrm_config", "mask_net_config")
    return {**dict.fromkeys(kinds), kind: settings, "affine_map": None, "pos_weight": 1.0}


def published_config() -> dict[str, Any]:
    """The whole file, every field written out, nulls included."""
    block = {
        "aggregation_size": 1024,
        "input_layer_norm": False,
        "output_size": 1024,
        "reduction_factor": None,
    }
    net = {"mask_blocks": [block] * 4, "mlp": mlp([2048], None, None, True), "use_parallel": True}
    model = {
        "backbone": architecture("mask_net_config", net),
        "featurization_config": {
            "clip_log1p_abs_config": None,
            "double_norm_log_config": {
                "batch_norm_config": {"affine": True, "momentum": 0.01},
                "clip_magnitude": 5.0,
                "layer_norm_config": {"axis": -1, "center": True, "epsilon": 0.0, "scale": True},
            },
            "feature_names_to_concat": ["binary"],
            "log1p_abs_config": None,
            "z_score_log_config": None,
        },
        "large_embeddings": None,
        "multi_task_type": "share_all",
        "position_debias_config": None,
        "small_embeddings": None,
        "stratifiers": None,
        "tasks": {
            PREFIX + name: architecture(
                "mlp_config", mlp([256, 128, 1], {"affine": False, "momentum": 0.1}, dropout, False)
            )
            for name, (*_, dropout) in TASKS.items()
        },
    }
    optimizer = {
        "adam": {"beta_1": 0.95, "beta_2": 0.999, "epsilon": 1e-7},
        "multi_task_learning_rates": {
            "backbone_learning_rate": ramp(1e-4, 1000),
            "tower_learning_rates": {
                PREFIX + name: ramp(rate, steps) for name, (_, _, _, rate, steps, _) in TASKS.items()
            },
        },
        "single_task_learning_rate": None,
    }
    # Three tasks of the data have no tower.
    sampled = {name: (kept, negatives) for name, (_, kept, negatives, *_) in TASKS.items()}
    sampled |= dict.fromkeys(("is_bookmarked", "is_shared", "is_tweet_detail_dwelled_15_sec"), (1.0, 0.001))
    train_data = {
        "inputs": "$HOME/recap_data/*.gz",
        "explicit_date_inputs": None,
        "explicit_datetime_inputs": None,
        "global_batch_size": 128,
        "repeat_files": True,
        "preprocess": {
            "downcast": {"features": {"continuous": "bfloat16", "binary": "uint8"}},
            "truncate_and_slice": {
                "binary_feature_mask_path": None,
                "binary_feature_truncation": 59,
                "continuous_feature_mask_path": None,
                "continuous_feature_truncation": 2117,
            },
        },
        "seg_dense_schema": {
            "features": [],
            "mask_mantissa_features": None,
            "renamed_features": dict(RENAMED),
            "schema_path": "segdense.json",
        },
        "tasks": {
            PREFIX + name: {"neg_downsampling_rate": negatives, "pos_downsampling_rate": kept}
            for name, (kept, negatives) in sampled.items()
        },
    }
    training = {"num_train_steps": 1000, "checkpoint_every_n": 500, "save_dir": "$HOME/runs"}
    return {
        "training": training,
        "model": model,
        "optimizer": optimizer,
        "train_data": train_data,
        "validation_data": {"validation": train_data},
    }


def segdense_schema(lengths: dict[str, int] = LENGTHS, embedding: int = EMBEDDING) -> dict[str, Any]:
    """Of every feature of the records; some of them the configuration does not name."""
    schema = [(RENAMED["continuous"], "float_list", lengths["continuous"])]
    schema += [(RENAMED[group], "int64_list", lengths[group]) for group in ("binary", "discrete")]
    schema += [(name, "float_list", embedding) for group, name in RENAMED.items() if "embedding" in group]
    schema += [(name, "int64_list", 1) for group, name in RENAMED.items() if group.startswith("meta__")]
    schema += [(PREFIX + name, "int64_list", 1) for name in (*TASKS, "is_bookmarked")]
    schema += [("request.hour", "int64_list", 1)]
    return {"schema": [{"feature_name": n, "dtype": d, "length": size} for n, d, size in schema]}


def write_records(path: Path, schema: dict[str, Any], rows: int) -> None:
    """Records of random values; a task's label follows the first continuous entry."""
    from tfrecord import TFRecordWriter

    chance = random.Random(7)
    kinds = {"int64_list": "int", "float_list": "float"}
    writer = TFRecordWriter(str(path))
    for row in range(rows):
        record: dict[str, Any] = {}
        for feature in schema["schema"]:
            name, dtype, length = feature["feature_name"], feature["dtype"], feature["length"]
            if name.startswith(PREFIX):
                value = [int(chance.random() < 0.4)]
            elif name.startswith("meta."):
                value = [row if name.endswith("tweet_id") else chance.randrange(1 << 62)]
            elif dtype == "int64_list":
                value = chance.choices((0, 1), k=length)
            else:
                value = [chance.gauss(0, 3) for _ in range(length)]
            record[name] = (value if length > 1 else value[0], kinds[dtype])
        writer.write(record)
    writer.close()
