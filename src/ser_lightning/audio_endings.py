"""Endings of files with sound, by what reads them."""

SNDFILE = (
    *(".wav", ".flac", ".ogg", ".opus", ".oga", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
    *(".w64", ".rf64", ".bwf", ".sph", ".nist", ".sf", ".ircam", ".voc", ".avr", ".sds", ".svx", ".8svx", ".iff"),
    *(".paf", ".pvf", ".wve", ".xi", ".htk"),
)
"""Endings of the formats that libsndfile decodes."""

FFMPEG = (
    *(".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".aac", ".wma", ".wmv", ".asf"),
    *(".amr", ".awb", ".avi", ".flv"),
)
"""Endings of sound and film that FFmpeg decodes, if it is installed."""

UNREAD = (
    *(
        ".ac3",
        ".ape",
        ".dsf",
        ".dff",
        ".dss",
        ".dts",
        ".eac3",
        ".f4v",
        ".m2ts",
        ".m4p",
        ".mpc",
        ".mpeg",
        ".mpg",
        ".mts",
    ),
    *(".mxf", ".ogv", ".ra", ".ram", ".rm", ".rmvb", ".spx", ".tak", ".tta", ".vob", ".vox", ".wv"),
)
"""Endings of other sound and film, which is not read."""
